// What the pages for sign-up, the second step and the account have beyond the
// form that gate.js sends. Like that file it decides nothing, holds no texts,
// and is not needed: without it the same is done by plain forms.
(() => {
  'use strict';
  const byId = (id) => document.getElementById(id);
  const notice = byId('notice'), texts = notice.dataset;
  const form = document.querySelector('form[data-for]');

  function tell(code) {
    notice.textContent = texts[code] || '';
  }

  // send never throws: what goes wrong becomes a failure to show.
  async function send(address, fields) {
    const type = 'application/json';
    try {
      const response = await fetch(address, {
        method: 'POST', headers: {Accept: type, 'Content-Type': type}, body: JSON.stringify(fields),
        credentials: 'same-origin', cache: 'no-store', signal: AbortSignal.timeout(30000),
      });
      return await response.json() || {};
    } catch (error) {
      return {error_message: error instanceof SyntaxError ? texts.broken : texts.offline};
    }
  }

  // elsewhere is the address of a reply if it is another page of this site.
  function elsewhere(reply) {
    const to = reply.redirect_url && new URL(reply.redirect_url, location);
    return to && to.origin === location.origin && to.pathname !== location.pathname ? to : null;
  }

  // inPlace sends a small form without leaving the page.
  function inPlace(small, problem, done) {
    const button = small.querySelector('[type=submit]');
    let sending = false;
    small.addEventListener('submit', async (event) => {
      event.preventDefault();
      if (sending) return;
      sending = true;
      button.setAttribute('aria-busy', true);
      problem.textContent = '';
      tell('');
      // The form has a field named "action", which hides the property.
      const reply = await send(small.getAttribute('action'), Object.fromEntries(new FormData(small)));
      sending = false;
      button.setAttribute('aria-busy', false);
      const to = elsewhere(reply);
      if (to) location.assign(to);
      else if (reply.status === 'success') done(reply);
      else if (reply.code === 'unauthenticated') location.reload(); // it shows the sign-in page
      else {
        problem.textContent = reply.error_message || texts.broken;
        if (reply.retry_after > 0) done(reply);
      }
    });
  }

  // --- The form of the page ---

  // A notice that belongs to the page as it will be is kept over its reload.
  const key = 'captcha-gate-notice';
  function keep(code) {
    try {
      sessionStorage.setItem(key, code);
    } catch { /* a browser that stores nothing shows the new page alone */ }
  }
  function kept() {
    try {
      const code = sessionStorage.getItem(key);
      sessionStorage.removeItem(key);
      return code;
    } catch {
      return null;
    }
  }
  const code = kept();
  if (texts[code]) {
    tell(code);
    notice.focus();
  }

  // gate.js lets its form speak of each reply before it acts on it.
  form?.addEventListener('reply', ({detail: reply}) => {
    if (reply.status !== 'success') {
      if (reply.code === 'unauthenticated') location.reload(); // it shows the sign-in page
      // The words of the sign-in page speak of a user name, which nobody typed here.
      if (texts.credentials_wrong && reply.code === 'credentials_wrong') reply.error_message = texts[reply.code];
    } else if (!reply.redirect_url) {
      form.hidden = true;
      tell(reply.code);
      notice.focus();
    } else if (!elsewhere(reply)) {
      keep(reply.code);
    }
  });
  form?.addEventListener('submit', () => tell(''));

  // --- A new password ---

  const secret = form?.elements.new_password || form?.elements.password, confirm = form?.elements.confirm_password;
  if (confirm) {
    // Asked on the way down, before gate.js looks at the fields.
    document.addEventListener('submit', () => {
      confirm.setCustomValidity(confirm.value === secret.value ? '' : confirm.dataset.wrong);
    }, true);
    secret.addEventListener('input', () => {
      confirm.removeAttribute('aria-invalid');
      byId(confirm.id + '-error').textContent = '';
    });

    const meter = byId('strength'), verdict = byId('strength-text');
    let timer, turn = 0; // older replies are dropped
    secret.addEventListener('input', () => {
      const mine = ++turn;
      clearTimeout(timer);
      if (!secret.value) show({});
      else timer = setTimeout(async () => {
        const reply = await send(meter.dataset.address, {password: secret.value, username: form.elements.username.value});
        if (mine === turn) show(reply);
      }, 300);
    });
    function show({score, message}) {
      meter.hidden = !(score >= 0);
      meter.value = score || 0;
      verdict.textContent = meter.hidden ? '' : message || meter.dataset[score];
    }
  }

  // --- The second step ---

  const digits = form?.elements.code;
  if (digits) {
    const count = Number(digits.dataset.digits), button = form.querySelector('[type=submit]');
    let sent = '';
    const hint = byId('code-hint');
    hint.hidden = false;
    digits.setAttribute('aria-describedby', `${hint.id} ${digits.getAttribute('aria-describedby')}`);

    // Digits of East Asian keyboards are wide ones.
    // Keyboards of some languages type digits of their own; each script has its ten
    // in a row, the first of which is the one before which there is no digit.
    const plain = (digit) => {
      let zero = digit.codePointAt(0);
      while (/\p{Nd}/u.test(String.fromCodePoint(zero - 1))) zero--;
      return String((digit.codePointAt(0) - zero) % 10);
    };
    const clean = (text) => text.replace(/\p{Nd}/gu, plain).replace(/\D/g, '').slice(0, count);
    function tidy() {
      const value = clean(digits.value);
      if (value !== digits.value) digits.value = value;
      if (value.length < count || value === sent || button.disabled) return;
      sent = value;
      form.requestSubmit();
    }
    digits.addEventListener('input', ({isComposing}) => isComposing || tidy());
    digits.addEventListener('compositionend', tidy);
    // What is pasted may be the whole message, longer than the field takes.
    digits.addEventListener('paste', (event) => {
      const pasted = clean(event.clipboardData.getData('text'));
      if (pasted.length !== count) return;
      event.preventDefault();
      digits.value = pasted;
      digits.dispatchEvent(new InputEvent('input', {bubbles: true}));
    });
    form.addEventListener('reply', ({detail: reply}) => {
      if (reply.code === 'second_step_wrong') digits.value = '';
    });
    if (digits.dataset.left > 0) {
      setTimeout(() => {
        byId('code-error').textContent = digits.dataset.over;
      }, digits.dataset.left * 1000);
    }

    const resend = byId('resend'), again = resend.querySelector('[type=submit]'), label = again.textContent;
    let ticking;
    // wait keeps the button off until the server will send another code.
    function wait(seconds) {
      const end = Date.now() + seconds * 1000;
      clearTimeout(ticking);
      (function tick() {
        const left = Math.ceil((end - Date.now()) / 1000);
        again.disabled = left > 0;
        again.textContent = label;
        if (left <= 0) return;
        again.textContent = resend.dataset.wait.replace('{time}', Math.floor(left / 60) + ':' + String(left % 60).padStart(2, 0));
        ticking = setTimeout(tick, 1000);
      })();
    }
    inPlace(resend, byId('resend-error'), (reply) => {
      wait(reply.retry_after);
      if (reply.status !== 'success') return;
      tell(reply.code);
      sent = digits.value = byId('code-error').textContent = '';
      digits.focus();
    });
    wait(resend.dataset.in);
  }

  // --- The account ---

  const list = byId('sessions');
  for (const small of list?.parentElement.querySelectorAll('form') || []) {
    inPlace(small, byId('sessions-error'), (reply) => {
      if (reply.status !== 'success') return;
      const item = small.closest('li');
      for (const ended of item ? [item] : list.querySelectorAll('li:not([data-current])')) ended.remove();
      if (list.children.length < 2) byId('end-others').remove();
      tell(reply.code);
      byId('devices').focus({preventScroll: true}); // the button is gone
    });
  }

  // Times are in the page's language, as the visitor's region writes it.
  const language = document.documentElement.lang;
  const times = new Intl.DateTimeFormat(
    [...navigator.languages.filter((tag) => tag.split('-')[0] === language.split('-')[0]), language],
    {dateStyle: 'medium', timeStyle: 'short'});
  for (const time of document.querySelectorAll('time')) time.textContent = times.format(new Date(time.dateTime));
})();
