import assert from "node:assert/strict";
import { test } from "node:test";
import { blur, enlarge, grey, median, opening, otsu, pgm, threshold } from "./cleanup.mjs";
import { allowedClasses, decode, tensorOf } from "./ppocr.mjs";
import { alphabetOf, charactersRead, score, solved } from "./samples.mjs";
import { pages } from "./tesseract.mjs";

// picture makes a grey picture of rows of digits, 0 black to 9 white.
function picture(...rows) {
	const values = rows.join("").split("").map((digit) => Math.round((Number(digit) * 255) / 9));
	return { width: rows[0].length, height: rows.length, data: Uint8ClampedArray.from(values) };
}

// rgba makes a picture of one colour.
function rgba(width, height, ...colour) {
	const data = new Uint8Array(4 * width * height);
	for (let i = 0; i < data.length; i++) data[i] = colour[i % 4];
	return { width, height, data };
}

// scoresOf makes a model's output that prefers class best[i] in step i.
function scoresOf(classes, best) {
	const scores = new Float32Array(best.length * classes.length);
	best.forEach((index, step) => {
		scores[step * classes.length + index] = 1;
	});
	return scores;
}

test("decoding merges repetitions and drops blanks", () => {
	const classes = ["", "a", "b"];
	const cases = [
		{ best: [], text: "" },
		{ best: [0, 0], text: "" },
		{ best: [1, 1, 2], text: "ab" },
		{ best: [1, 0, 1], text: "aa" },
		{ best: [0, 2, 2, 0, 0, 1, 0], text: "ba" },
	];
	for (const { best, text } of cases) {
		assert.equal(decode(scoresOf(classes, best), classes, [0, 1, 2]), text);
	}
});

test("decoding never reads a character outside the alphabet", () => {
	const classes = ["", "a", "b", "c"];
	const allowed = allowedClasses(classes, "ac");
	assert.deepEqual(allowed, [0, 1, 3]);
	const scores = Float32Array.from([0.1, 0.2, 0.6, 0.1, 0.2, 0, 0.5, 0.3]);
	assert.equal(decode(scores, classes, allowed), "ac");
});

test("the recogniser's input is blue first, from -1 to 1, filled up with 0", () => {
	const { data, dims } = tensorOf(rgba(96, 96, 255, 127.5, 0, 255));
	const plane = 48 * 320;
	assert.deepEqual(dims, [1, 3, 48, 320]);
	assert.equal(data[0], -1);
	assert.ok(Math.abs(data[plane]) < 0.01);
	assert.equal(data[2 * plane], 1);
	assert.equal(data[2 * plane + 47], 1);
	assert.equal(data[2 * plane + 48], 0);
});

test("a picture wider than the recogniser's line keeps its width", () => {
	assert.deepEqual(tensorOf(rgba(400, 48, 0, 0, 0, 255)).dims, [1, 3, 48, 400]);
});

test("transparent parts show white", () => {
	assert.equal(tensorOf(rgba(48, 48, 0, 0, 0, 0)).data[0], 1);
	assert.equal(grey(rgba(1, 1, 0, 0, 0, 0)).data[0], 255);
	assert.equal(grey(rgba(1, 1, 0, 0, 0, 255)).data[0], 0);
});

test("the threshold lies between the two groups of values", () => {
	assert.equal(otsu([10, 12, 200, 210]), 12);
	assert.equal(otsu([7, 7, 7]), 0);
});

test("thresholding leaves black letters on white", () => {
	const letters = picture("9909", "9909");
	assert.deepEqual(threshold(picture("8818", "8828")), letters);
	assert.deepEqual(threshold(picture("1181", "1171")), letters);
});

test("the median removes a dot", () => {
	assert.deepEqual(median(picture("999", "909", "999")), picture("999", "999", "999"));
});

test("blurring spreads a dot", () => {
	assert.deepEqual([...blur({ width: 3, height: 1, data: Uint8ClampedArray.from([0, 160, 0]) }).data], [40, 80, 40]);
});

test("opening removes lines thinner than three pixels and keeps thicker shapes", () => {
	const line = picture("99999", "00000", "00000", "99999", "99999");
	assert.deepEqual(opening(line), picture("99999", "99999", "99999", "99999", "99999"));
	const square = picture("99999", "90009", "90009", "90009", "99999");
	assert.deepEqual(opening(square), square);
});

test("enlarging doubles both sides and interpolates", () => {
	const { width, height, data } = enlarge({ width: 2, height: 1, data: Uint8ClampedArray.from([0, 200]) });
	assert.deepEqual({ width, height, data: [...data] }, { width: 4, height: 2, data: [0, 50, 150, 200, 0, 50, 150, 200] });
});

test("a graymap is its header and its pixels", () => {
	assert.equal(pgm(picture("09")).toString("latin1"), "P5 2 1 255\n\x00\xff");
});

test("an answer is solved whole, whatever its case", () => {
	assert.equal(solved("AB3", "ab3"), true);
	assert.equal(solved("AB3", "ab"), false);
	assert.deepEqual(score(["AB", "CD"], ["ab", "cx"]), { rate: 0.5, chars: 0.75 });
});

test("characters count where they are read in the right order", () => {
	const cases = [
		["ABC", "", 0],
		["ABC", "bc", 2],
		["ABC", "CBA", 1],
		["AAB", "AXB", 2],
	];
	for (const [answer, reading, want] of cases) assert.equal(charactersRead(answer, reading), want);
});

test("the alphabet is what the answers consist of", () => {
	assert.equal(alphabetOf(["CAB", "BA3"]), "3ABC");
});

test("each picture has its text in Tesseract's output, even an empty one", () => {
	assert.deepEqual(pages("12 3\n\f\fab\n"), ["123", "", "ab"]);
});
