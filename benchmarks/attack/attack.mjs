// Measures how often stock text readers solve captcha pictures: Tesseract 5 in
// twelve configurations, and PP-OCRv4 on the raw picture.
//
//	node attack.mjs --set NAME=DIR [--set NAME=DIR ...] [--alphabet CHARS]
//	                [--count 300] [--out table.md] [--reader tesseract|ppocr]
//
// DIR holds samples ANSWER_n.png, of which the first --count are read. An
// answer counts as solved when all of it is read, in upper or lower case. The
// readers are told which characters to expect: --alphabet, by default those
// that the answers of the set consist of. --reader leaves the other one out.
// The table, Markdown, goes to stdout and with --out to a file as well;
// progress goes to stderr.

import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import * as ppocr from "./ppocr.mjs";
import { alphabetOf, load, score, solved } from "./samples.mjs";
import * as tesseract from "./tesseract.mjs";

const header = [
	"| set | samples | Tesseract, best of 12 | chars | any of 12 | PP-OCRv4 | chars |",
	"| --- | --- | --- | --- | --- | --- | --- |",
];

// options reads the command line; it throws an error naming the wrong flag.
function options(args) {
	const { values } = parseArgs({
		args,
		options: {
			set: { type: "string", multiple: true, default: [] },
			alphabet: { type: "string" },
			count: { type: "string", default: "300" },
			out: { type: "string" },
			reader: { type: "string" },
		},
	});
	const sets = values.set.map((set) => /^([^=]+)=(.+)$/.exec(set));
	if (sets.length === 0 || sets.includes(null)) throw new Error("--set: give at least one NAME=DIR");
	const count = Number(values.count);
	if (!Number.isInteger(count) || count < 1) throw new Error("--count: not a positive whole number");
	if (![undefined, "tesseract", "ppocr"].includes(values.reader)) {
		throw new Error("--reader: neither tesseract nor ppocr");
	}
	return { ...values, count, sets: sets.map(([, name, dir]) => ({ name, samples: load(dir, count) })) };
}

// withTesseract returns the three cells of Tesseract for a set.
async function withTesseract(name, samples, alphabet) {
	const answers = samples.map((s) => s.answer);
	const results = await tesseract.readAll(samples.map((s) => s.picture), alphabet, (step) =>
		say(`${name}: Tesseract, ${step}`),
	);
	const best = results
		.map(({ config, readings }) => ({ config, ...score(answers, readings) }))
		.reduce((a, b) => (b.rate > a.rate || (b.rate === a.rate && b.chars > a.chars) ? b : a));
	const any = answers.filter((answer, i) => results.some(({ readings }) => solved(answer, readings[i])));
	return [`${percent(best.rate)} (${best.config})`, percent(best.chars, 0), percent(any.length / answers.length)];
}

// withPPOCR returns the two cells of PP-OCRv4 for a set.
async function withPPOCR(read, name, samples, alphabet) {
	const readings = [];
	for (const { picture } of samples) {
		if (readings.length % 50 === 0) say(`${name}: PP-OCRv4, ${readings.length} of ${samples.length}`);
		readings.push(await read(picture, alphabet));
	}
	const { rate, chars } = score(samples.map((s) => s.answer), readings);
	return [percent(rate), percent(chars, 0)];
}

function percent(share, places = 1) {
	return `${(100 * share).toFixed(places)} %`;
}

function say(line) {
	process.stderr.write(`${line}\n`);
}

async function main() {
	const { sets, alphabet, out, reader } = options(process.argv.slice(2));
	const read = reader === "tesseract" ? undefined : await ppocr.open();
	const rows = [];
	for (const { name, samples } of sets) {
		const expected = alphabet ?? alphabetOf(samples.map((s) => s.answer));
		const cells = reader === "ppocr" ? ["–", "–", "–"] : await withTesseract(name, samples, expected);
		cells.push(...(read ? await withPPOCR(read, name, samples, expected) : ["–", "–"]));
		rows.push(`| ${[name, samples.length, ...cells].join(" | ")} |`);
		say(rows.at(-1));
	}
	const table = [...header, ...rows, ""].join("\n");
	process.stdout.write(table);
	if (out) writeFileSync(out, table);
}

try {
	await main();
} catch (error) {
	say(`attack: ${error.message}`);
	process.exitCode = 1;
}
