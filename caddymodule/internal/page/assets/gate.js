// The form of a page, sent and mended in place, so that nothing typed is lost.
// Without this file plain forms and links do the same. It decides nothing: every
// judgement is the server's. Texts and addresses come from the page.
(() => {
  'use strict';
  const form = document.querySelector('form[data-for]');
  if (!form) return;

  const byId = (id) => document.getElementById(id);
  const texts = form.dataset;
  const {username, password, captcha_answer: answer, captcha_token: token, captcha_work: work} = form.elements;
  const fields = [...form.querySelectorAll('[data-missing]')], secrets = form.querySelectorAll('.secret input');
  const captcha = byId('captcha'), picture = byId('picture'), sound = byId('sound'), voice = byId('voice');
  const button = form.querySelector('[type=submit]'), label = button.firstElementChild;
  const idleLabel = label.textContent;

  // say puts a message at a field, or above the form where that is not shown.
  function say(field, text) {
    const shown = Boolean(field?.offsetParent);
    byId((shown ? field.id : 'form') + '-error').textContent = text;
    field?.setAttribute('aria-invalid', shown && text !== '');
  }

  // ask never throws: what goes wrong becomes a failure to show. A challenge's
  // life is measured by the server's clock; the visitor's may be wrong by hours.
  async function ask(address, body) {
    const type = 'application/json';
    try {
      const response = await fetch(address, {
        headers: {Accept: type, ...body && {'Content-Type': type}}, ...body && {method: 'POST', body: JSON.stringify(body)},
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
  let sending = false, expires = 0, margin = 0, timer;

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
  let worker, solved; // solved ends with the puzzle, and is null without one

  // solve has a worker solve a puzzle, beside whatever the visitor does.
  function solve(puzzle) {
    worker?.terminate();
    work.value = '';
    solved = null;
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
    if (sending || captcha?.hidden !== false) return false;
    const mine = ++turn, before = answer.value;
    const reply = await ask(`${texts.challenge}?kind=${kind}&for=${texts.for}&voice=${voice?.lang || ''}&token=${token.value}`);
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

  function setRevealed(secret, on) {
    secret.type = on ? 'text' : 'password';
    secret.nextElementSibling.setAttribute('aria-pressed', on);
  }

  // hold keeps the button off while the server wants no more tries.
  function hold(seconds) {
    const end = Date.now() + seconds * 1000;
    (function count() {
      const left = Math.ceil((end - Date.now()) / 1000);
      button.disabled = left > 0;
      label.textContent = idleLabel;
      if (left <= 0) return say(null, '');
      label.textContent = texts.wait.replace('{time}', Math.floor(left / 60) + ':' + String(left % 60).padStart(2, 0));
      setTimeout(count, 1000);
    })();
  }

  // fail tells the code at its field, else above the form, and errors at theirs.
  function fail(reply) {
    if (reply.captcha) show(reply.captcha);
    const field = fields.find((field) => reply.code?.startsWith(field.dataset.code));
    if (!reply.captcha && field) renew('image', true); // the old one is spent
    if (field && field.dataset.code === reply.code) field.value = '';
    const errors = reply.error_messages || {};
    errors[field?.name] ??= reply.error_message || texts.broken;
    for (const name in errors) say(fields.find((field) => field.name === name), errors[name]);
    if (reply.retry_after > 0) hold(reply.retry_after);
    (form.querySelector('[aria-invalid=true]') || byId('form-error')).focus();
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
    const wrong = fields.filter((field) => !field.checkValidity());
    for (const field of wrong) say(field, field.dataset[field.value ? 'wrong' : 'missing']);
    if (wrong.length) return wrong[0].focus();

    turn++; // a picture still on its way must not replace the one answered
    for (const secret of secrets) setRevealed(secret, false); // so that password managers see a password
    setSending(true);
    await solved;
    const reply = await ask(form.getAttribute('action'), Object.fromEntries(new FormData(form)));
    form.dispatchEvent(new CustomEvent('reply', {detail: reply}));
    const to = reply.redirect_url && new URL(reply.redirect_url, location);
    if (to?.origin === location.origin) return leave(to);
    setSending(false);
    if (to || reply.status !== 'success') fail(reply);
  });

  form.addEventListener('input', ({target}) => {
    if (fields.includes(target)) say(target, '');
    if (target === username) say(password, '');
    if (!button.disabled) say(null, '');
  });

  // --- Comforts ---

  for (const secret of secrets) {
    const reveal = secret.nextElementSibling, capsLock = reveal.nextElementSibling.firstElementChild;
    reveal.hidden = false;
    reveal.addEventListener('click', () => setRevealed(secret, secret.type === 'password'));
    for (const type of ['keydown', 'keyup', 'mousedown', 'blur']) {
      // Autofill sends key events that know no modifiers.
      secret.addEventListener(type, (event) => (capsLock.hidden = !event.getModifierState?.('CapsLock')));
    }
  }
  addEventListener('pageshow', (event) => {
    if (!event.persisted) return; // else back from the browser's memory, with a spent challenge
    setSending(false);
    for (const secret of secrets) secret.value = '';
    renew('image', true);
  });
  if (!navigator.cookieEnabled) say(null, texts.cookies);
  if (!captcha) return;

  for (const link of captcha.querySelectorAll('[data-kind]')) {
    link.setAttribute('role', 'button');
    link.hidden = false;
    link.addEventListener('click', (event) => {
      event.preventDefault();
      if (link.lang) [voice.lang, voice.textContent, voice.closest('details').open] = [link.lang, link.textContent, false];
      renewAndType(link.dataset.kind);
    });
    link.addEventListener('keydown', (event) => {
      if (event.key !== ' ') return;
      event.preventDefault();
      link.click(); // as buttons do
    });
  }
  picture.classList.add('clickable');
  picture.addEventListener('click', () => renewAndType('image'));
  for (const type of ['load', 'error']) picture.addEventListener(type, () => picture.classList.remove('loading'));

  document.addEventListener('visibilitychange', watch);
  expectFor(Number(texts.lifetime));
  // The challenge in the page was made for browsers without scripts.
  if ('silent' in texts && answer.required) renew(captcha.dataset.kind, true);
})();
