// The sign-in form, sent and mended in place, so that nothing typed is lost.
// Without this file the page does the same with plain forms and links. It
// decides nothing: every judgement is the server's. Texts and addresses come
// from the page, so this file is the same for every site and language.
(() => {
  'use strict';
  const form = document.getElementById('sign-in');
  if (!form) return;

  const byId = (id) => document.getElementById(id);
  const texts = form.dataset;
  const {username, password, captcha_answer: answer, captcha_token: token, captcha_work: work, remember} = form.elements;
  const fields = [username, password, answer].filter(Boolean);
  const captcha = byId('captcha'), picture = byId('picture'), sound = byId('sound'), voice = byId('voice');
  const reveal = byId('reveal'), capsLock = byId('caps-lock');
  const button = form.querySelector('[type=submit]'), label = button.firstElementChild;
  const idleLabel = label.textContent;

  // The contract's codes that belong to one field; the rest concern the form.
  const fieldOf = {
    credentials_wrong: password, captcha_wrong: answer, captcha_required: answer, captcha_expired: answer,
  };

  // say puts a message where it belongs: at a field, or above the form.
  function say(field, text) {
    if (field === answer && (captcha.hidden || captcha.dataset.kind === 'work')) field = null; // it is not shown
    byId((field ? field.id : 'form') + '-error').textContent = text;
    if (field) field.setAttribute('aria-invalid', text !== '');
  }

  // ask never throws: what goes wrong becomes a failure to show. A challenge's
  // life is measured by the server's clock; the visitor's may be wrong by hours.
  async function ask(address, body) {
    const headers = {Accept: 'application/json'};
    if (body) headers['Content-Type'] = 'application/json';
    try {
      const response = await fetch(address, {
        method: body ? 'POST' : 'GET', headers, body: body && JSON.stringify(body),
        credentials: 'same-origin', cache: 'no-store', signal: AbortSignal.timeout(30000),
      });
      const reply = await response.json() || {};
      const challenge = reply.captcha || reply;
      const now = Date.parse(response.headers.get('Date')) || Date.now();
      challenge.lifetime = (Date.parse(challenge.expires_at) - now) / 1000;
      return reply;
    } catch (error) {
      return {error_message: error instanceof SyntaxError ? texts.broken : texts.offline};
    }
  }

  // --- The challenge ---

  let turn = 0; // which request for a challenge is the latest; older replies are dropped
  let sending = false;
  let expires = 0, margin = 0, timer;

  function expectFor(seconds) {
    if (!(seconds > 0)) return;
    expires = Date.now() + seconds * 1000;
    margin = seconds * 100; // renewed a tenth of its life early
    watchIn(seconds * 1000 - margin);
  }

  function watchIn(milliseconds) {
    clearTimeout(timer);
    timer = setTimeout(watch, milliseconds);
  }

  // watch renews a challenge that ends: quietly while no answer would be lost,
  // else at the last moment, and says so. A hidden page waits until it is seen.
  async function watch() {
    if (document.hidden || sending || !expires) return;
    const typed = answer.value !== '';
    const left = expires - Date.now() - (typed ? 0 : margin);
    if (left > 0) watchIn(left);
    else if (!await renew(captcha.dataset.kind, true)) watchIn(20000);
    else if (typed) say(answer, texts.expired);
  }

  function show(challenge) {
    const {kind} = challenge;
    captcha.hidden = false;
    captcha.dataset.kind = kind;
    answer.required = kind !== 'work';
    answer.inputMode = kind === 'audio' ? 'numeric' : 'text';
    answer.value = '';
    token.value = challenge.token;
    if (kind === 'audio') sound.src = challenge.audio_url;
    else if (kind === 'image') picture.src = challenge.image_url;
    picture.classList.toggle('loading', kind === 'image');
    solve(challenge.work);
    expectFor(challenge.lifetime);
  }

  // --- Proof of work ---

  const bar = byId('work'), status = byId('work-status'), runs = status?.textContent;
  let worker, solved; // solved ends with the puzzle, or at once if there is none

  // solve has a worker solve a puzzle, beside whatever the visitor does.
  function solve(puzzle) {
    worker?.terminate();
    worker = null;
    work.value = '';
    solved = Promise.resolve();
    if (!puzzle) return;
    if (bar) [bar.value, status.textContent] = [0, runs];
    worker = new Worker(texts.worker);
    solved = new Promise((resolve) => {
      worker.onmessage = ({data}) => {
        if (bar && data.done) bar.value = data.done;
        if (!data.solution) return;
        work.value = data.solution;
        if (bar) status.textContent = status.dataset.done;
        resolve();
      };
      worker.onerror = resolve; // the server will say what is missing
    });
    worker.postMessage(puzzle);
  }

  async function renew(kind, quiet) {
    if (sending) return false;
    const mine = ++turn, before = answer.value;
    const reply = await ask(`${texts.challenge}?kind=${kind}&for=login&voice=${voice?.lang || ''}&token=${token.value}`);
    // Another was asked for, the form was sent, or typing began.
    if (mine !== turn || (quiet && !before && answer.value)) return false;
    if (reply.token) show(reply);
    else if (!quiet) say(null, reply.error_message || texts.broken);
    return Boolean(reply.token);
  }

  async function renewAndType(kind) {
    if (!await renew(kind)) return;
    say(answer, '');
    say(null, '');
    (kind === 'work' ? button : answer).focus();
    if (kind === 'audio') sound.play().catch(() => {}); // its controls remain
  }

  // --- Sending ---

  function setSending(on) {
    sending = on;
    button.setAttribute('aria-busy', on);
    label.textContent = on ? texts.progress : idleLabel;
  }

  function setRevealed(on) {
    if (!password) return;
    password.type = on ? 'text' : 'password';
    reveal.setAttribute('aria-pressed', on);
  }

  // hold keeps the button off while the server wants no more tries.
  function hold(seconds) {
    const end = Date.now() + seconds * 1000;
    button.disabled = true;
    (function count() {
      const left = Math.ceil((end - Date.now()) / 1000);
      button.disabled = left > 0;
      if (left > 0) {
        const clock = Math.floor(left / 60) + ':' + String(left % 60).padStart(2, '0');
        label.textContent = texts.wait.replace('{time}', clock);
        setTimeout(count, 1000);
      } else {
        label.textContent = idleLabel;
        say(null, '');
      }
    })();
  }

  function fail(reply) {
    if (reply.captcha) show(reply.captcha);
    const field = fieldOf[reply.code] === answer && captcha.hidden ? null : fieldOf[reply.code];
    if (!reply.captcha && field && !captcha.hidden) renew('image', true); // the old one is spent
    if (field && field === password) password.value = '';
    say(field, reply.error_message || texts.broken);
    if (reply.retry_after > 0) hold(reply.retry_after);
    (field || byId('form-error')).focus();
    watch();
  }

  // leave keeps the #fragment, which the server never saw. The page is shown in
  // place of the one asked for, so that the target is often this very address.
  function leave(to) {
    to.hash ||= location.hash;
    if (to.pathname + to.search === location.pathname + location.search) location.reload();
    else location.assign(to);
  }

  form.noValidate = true; // the same checks, but told in the page
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (sending) return;
    for (const field of [null, ...fields]) say(field, '');
    const missing = fields.filter((field) => field.required && !field.value);
    for (const field of missing) say(field, field.dataset.missing);
    if (missing.length) return missing[0].focus();

    turn++; // a picture still on its way must not replace the one answered
    setRevealed(false); // so that password managers see a password
    setSending(true);
    await solved;
    const body = Object.fromEntries(new FormData(form));
    body.remember = Boolean(remember?.checked);
    const reply = await ask(form.action, body);
    if (reply.status === 'success' || reply.status === 'pending') {
      const to = new URL(reply.redirect_url, location);
      if (to.origin === location.origin) return leave(to);
    }
    setSending(false);
    fail(reply);
  });

  form.addEventListener('input', ({target}) => {
    if (fields.includes(target)) say(target, '');
    if (target === username) say(password, '');
    if (!button.disabled) say(null, '');
  });

  // --- Comforts ---

  for (const link of captcha.querySelectorAll('[data-kind]')) {
    link.setAttribute('role', 'button');
    link.hidden = false;
    link.addEventListener('click', (event) => {
      event.preventDefault();
      if (link.lang) [voice.lang, voice.textContent, voice.closest('details').open] = [link.lang, link.textContent, false];
      renewAndType(link.dataset.kind);
    });
    link.addEventListener('keydown', (event) => {
      if (event.key === ' ') { // as buttons do
        event.preventDefault();
        link.click();
      }
    });
  }
  picture.classList.add('clickable');
  picture.addEventListener('click', () => renewAndType('image'));
  picture.addEventListener('load', () => picture.classList.remove('loading'));
  picture.addEventListener('error', () => picture.classList.remove('loading'));

  if (password) {
    reveal.hidden = false;
    reveal.addEventListener('click', () => setRevealed(password.type === 'password'));
    for (const type of ['keydown', 'keyup', 'mousedown', 'blur']) {
      // Autofill sends key events that know no modifiers.
      password.addEventListener(type, (event) => {
        capsLock.hidden = !event.getModifierState?.('CapsLock');
      });
    }
  }

  document.addEventListener('visibilitychange', watch);
  window.addEventListener('pageshow', (event) => {
    if (!event.persisted) return; // else back from the browser's memory, with a spent challenge
    setSending(false);
    if (password) password.value = '';
    if (!captcha.hidden) renew('image', true);
  });
  if (!navigator.cookieEnabled) say(null, texts.cookies);
  expectFor(Number(texts.lifetime));
  // The challenge in the page was made for browsers without scripts.
  if ('silent' in texts && answer.required) renew(captcha.dataset.kind, true);
})();
