// Tesseract through its command line, in twelve configurations: six clean-ups
// times the page modes 7 (a line) and 8 (a word).

import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { cleanUps, pgm } from "./cleanup.mjs";

const run = promisify(execFile);
const pageModes = [7, 8];
const crashes = ["SIGFPE", "SIGSEGV", "SIGABRT"];

// readAll reads the pictures in every configuration and resolves to a list of
// {config, readings}. Tesseract may answer with the alphabet's characters only.
// progress is called with a clean-up's name as it begins, and with a note for
// every picture on which Tesseract died.
export async function readAll(pictures, alphabet, progress) {
	const dir = mkdtempSync(join(tmpdir(), "attack-"));
	try {
		const results = [];
		for (const [name, cleanUp] of Object.entries(cleanUps)) {
			progress(name);
			const files = pictures.map((picture, i) => {
				const file = join(dir, `${i}.pgm`);
				writeFileSync(file, pgm(cleanUp(picture)));
				return file;
			});
			const readings = await Promise.all(pageModes.map((mode) => readFiles(files, mode, alphabet, progress)));
			pageModes.forEach((mode, i) => results.push({ config: `${name}, psm ${mode}`, readings: readings[i] }));
		}
		return results;
	} finally {
		rmSync(dir, { recursive: true });
	}
}

// readFiles has one process read all files. Tesseract 5.3 dies of a division by
// zero on some pictures: a batch that failed is halved until the culprit is
// alone, which then counts as read wrongly.
async function readFiles(files, mode, alphabet, progress) {
	const args = ["stdin", "stdout", "--psm", String(mode), "-c", `tessedit_char_whitelist=${alphabet}`];
	try {
		const call = run("tesseract", args, { env: { ...process.env, OMP_THREAD_LIMIT: "1" }, maxBuffer: 1 << 26 });
		call.child.stdin.end(files.join("\n"));
		const texts = pages((await call).stdout);
		if (texts.length !== files.length) throw new Error(`tesseract gave ${texts.length} texts for ${files.length} pictures`);
		return texts;
	} catch (error) {
		if (!crashes.includes(error.signal)) throw error;
		if (files.length === 1) {
			progress(`psm ${mode} died on one picture`);
			return [""];
		}
		const half = files.length >> 1;
		const first = await readFiles(files.slice(0, half), mode, alphabet, progress);
		return [...first, ...(await readFiles(files.slice(half), mode, alphabet, progress))];
	}
}

// pages splits Tesseract's output, in which a form feed stands between the
// texts of two pictures, and drops the white space within the texts.
export function pages(output) {
	return output.split("\f").map((text) => text.replace(/\s/g, ""));
}
