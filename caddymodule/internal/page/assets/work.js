// A worker that solves a puzzle: for each i below count a number n, of 32 bits,
// such that the first word of SHA-256(seed, i, n) is below the threshold. It
// tells how far it is after each, and at last the solution.
//
// The browser's own SHA-256 answers through promises, which takes longer than
// hashing so little, and is missing on pages without TLS. All that is hashed
// fits into one block, of which only n changes: the rounds before it are done
// once for each i, and of the result only the first word is needed.
'use strict';

const primes = [];
for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p)) primes.push(n);
const fraction = (x) => (x - Math.floor(x)) * 2 ** 32 | 0;
const K = Int32Array.from(primes, (p) => fraction(Math.cbrt(p)));
const H = Int32Array.from(primes.slice(0, 8), (p) => fraction(Math.sqrt(p)));

const w = new Int32Array(64);
const nonceWord = 5; // after four words of seed and one of i

// rounds runs the rounds from one number up to another over the state.
function rounds(state, from, to) {
  let [a, b, c, d, e, f, g, h] = state;
  for (let i = from; i < to; i++) {
    if (i > 15) {
      const x = w[i - 15], y = w[i - 2];
      w[i] = w[i - 16] + w[i - 7]
        + ((x >>> 7 | x << 25) ^ (x >>> 18 | x << 14) ^ x >>> 3)
        + ((y >>> 17 | y << 15) ^ (y >>> 19 | y << 13) ^ y >>> 10) | 0;
    }
    const t = h + ((e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7)) + (e & f ^ ~e & g) + K[i] + w[i] | 0;
    const u = ((a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10)) + (a & b ^ a & c ^ b & c) | 0;
    h = g; g = f; f = e; e = d + t | 0;
    d = c; c = b; b = a; a = t + u | 0;
  }
  return [a, b, c, d, e, f, g, h];
}

onmessage = ({data: {seed, count, threshold}}) => {
  const solution = new DataView(new ArrayBuffer(4 * count));
  w.fill(0);
  for (let i = 0; i < 4; i++) w[i] = parseInt(seed.slice(8 * i, 8 * i + 8), 16);
  w[6] = 1 << 31; // the end of the message
  w[15] = 24 * 8; // its length in bits
  for (let i = 0; i < count; i++) {
    w[4] = i;
    const start = rounds(H, 0, nonceWord);
    let n = -1;
    do w[nonceWord] = ++n; while ((rounds(start, nonceWord, 64)[0] + H[0] >>> 0) >= threshold);
    solution.setUint32(4 * i, n);
    postMessage({done: (i + 1) / count});
  }
  const bytes = String.fromCharCode(...new Uint8Array(solution.buffer));
  postMessage({solution: btoa(bytes).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '')});
};
