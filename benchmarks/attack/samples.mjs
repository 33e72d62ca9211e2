// Reading a directory of labelled pictures and counting what a reader got
// right.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { PNG } from "pngjs";

// load reads up to count samples ANSWER_n.png of dir, in the order of n, as
// {answer, picture}; a picture is {width, height, data}, data being RGBA, one
// byte each. It throws where dir holds no sample.
export function load(dir, count) {
	const samples = readdirSync(dir)
		.map((name) => ({ name, parts: /^([^_]+)_(\d+)\.png$/.exec(name) }))
		.filter((file) => file.parts)
		.map((file) => ({ name: file.name, answer: file.parts[1], n: Number(file.parts[2]) }))
		.sort((a, b) => a.n - b.n)
		.slice(0, count);
	if (samples.length === 0) throw new Error(`no sample ANSWER_n.png in ${dir}`);
	return samples.map(({ name, answer }) => ({
		answer,
		picture: PNG.sync.read(readFileSync(join(dir, name))),
	}));
}

// alphabetOf returns the characters that occur in the answers, sorted.
export function alphabetOf(answers) {
	return [...new Set(answers.join(""))].sort().join("");
}

// solved tells whether a reading is the whole answer, in upper or lower case.
export function solved(answer, reading) {
	return answer.toLowerCase() === reading.toLowerCase();
}

// charactersRead returns how many characters of the answer a reading has in
// the right order: the length of their longest common subsequence, so that a
// character missed at the start does not spoil the rest.
export function charactersRead(answer, reading) {
	const a = answer.toLowerCase();
	const b = reading.toLowerCase();
	let row = new Array(b.length + 1).fill(0);
	for (const char of a) {
		const next = [0];
		for (let j = 1; j <= b.length; j++) {
			next[j] = char === b[j - 1] ? row[j - 1] + 1 : Math.max(row[j], next[j - 1]);
		}
		row = next;
	}
	return row[b.length];
}

// score returns {rate, chars}: the shares of whole answers and of characters
// that the readings got right, 0 to 1.
export function score(answers, readings) {
	let whole = 0;
	let read = 0;
	let length = 0;
	answers.forEach((answer, i) => {
		if (solved(answer, readings[i])) whole++;
		read += charactersRead(answer, readings[i]);
		length += answer.length;
	});
	return { rate: whole / answers.length, chars: read / length };
}
