// What one does to a picture before an OCR program sees it. A grey picture
// here is {width, height, data} with one byte a pixel, 0 black to 255 white.

// cleanUps are the six ways, by name, each from an RGBA picture to a grey one.
// Thresholds always leave black letters on white.
export const cleanUps = {
	none: grey,
	threshold: (picture) => threshold(grey(picture)),
	"median, threshold": (picture) => threshold(median(grey(picture))),
	"2x, threshold": (picture) => threshold(enlarge(grey(picture))),
	"2x, threshold, opening": (picture) => opening(threshold(enlarge(grey(picture)))),
	"blur, threshold": (picture) => threshold(blur(grey(picture))),
};

// grey weighs the colours as Rec. 601 does; transparent parts show white.
export function grey({ width, height, data }) {
	return make(width, height, (x, y) => {
		const at = 4 * (y * width + x);
		const alpha = data[at + 3] / 255;
		const luma = 0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2];
		return 255 + (luma - 255) * alpha;
	});
}

// threshold makes a picture black and white at Otsu's limit. The rarer side,
// be it dark or light, is taken for the ink and becomes black.
export function threshold(picture) {
	const limit = otsu(picture.data);
	let dark = 0;
	for (const value of picture.data) if (value <= limit) dark++;
	const inkIsDark = 2 * dark <= picture.data.length;
	return map(picture, (value) => ((value <= limit) === inkIsDark ? 0 : 255));
}

// otsu returns the value that splits the pixels into two classes, itself
// belonging to the dark one, with the largest variance between them (Otsu
// 1979).
export function otsu(data) {
	const histogram = new Array(256).fill(0);
	let sum = 0;
	for (const value of data) {
		histogram[value]++;
		sum += value;
	}
	let best = 0;
	let limit = 0;
	let darkCount = 0;
	let darkSum = 0;
	for (let value = 0; value < 256; value++) {
		darkCount += histogram[value];
		darkSum += value * histogram[value];
		const lightCount = data.length - darkCount;
		if (darkCount === 0 || lightCount === 0) continue;
		const distance = darkSum / darkCount - (sum - darkSum) / lightCount;
		const between = darkCount * lightCount * distance * distance;
		if (between > best) {
			best = between;
			limit = value;
		}
	}
	return limit;
}

// median replaces every pixel by the median of its 3 x 3 neighbourhood, which
// removes dots and lines one pixel wide.
export function median(picture) {
	return neighbourhood(picture, (values) => values.sort((a, b) => a - b)[4]);
}

// blur is a 3 x 3 binomial filter.
export function blur(picture) {
	const weights = [1, 2, 1, 2, 4, 2, 1, 2, 1];
	return neighbourhood(picture, (values) => values.reduce((sum, value, i) => sum + value * weights[i], 0) / 16);
}

// opening erodes the black parts by a 3 x 3 square and dilates what is left,
// so that strokes thinner than three pixels vanish.
export function opening(picture) {
	const eroded = neighbourhood(picture, (values) => Math.max(...values));
	return neighbourhood(eroded, (values) => Math.min(...values));
}

// enlarge doubles both sides by bilinear interpolation.
export function enlarge(picture) {
	return make(2 * picture.width, 2 * picture.height, (x, y) => {
		const [left, top] = [Math.floor((x - 1) / 2), Math.floor((y - 1) / 2)];
		const [right, bottom] = [x % 2 ? 0.25 : 0.75, y % 2 ? 0.25 : 0.75];
		const above = pixel(picture, left, top) * (1 - right) + pixel(picture, left + 1, top) * right;
		const below = pixel(picture, left, top + 1) * (1 - right) + pixel(picture, left + 1, top + 1) * right;
		return above * (1 - bottom) + below * bottom;
	});
}

// pgm encodes a grey picture as a binary portable graymap.
export function pgm({ width, height, data }) {
	return Buffer.concat([Buffer.from(`P5 ${width} ${height} 255\n`), Buffer.from(data.buffer)]);
}

// neighbourhood computes every pixel from the nine values around it, listed
// row by row; the picture continues beyond its edges with the edge's values.
function neighbourhood(picture, compute) {
	return make(picture.width, picture.height, (x, y) => {
		const values = [];
		for (let dy = -1; dy <= 1; dy++) {
			for (let dx = -1; dx <= 1; dx++) values.push(pixel(picture, x + dx, y + dy));
		}
		return compute(values);
	});
}

function pixel({ width, height, data }, x, y) {
	const column = Math.min(Math.max(x, 0), width - 1);
	const row = Math.min(Math.max(y, 0), height - 1);
	return data[row * width + column];
}

function map({ width, height, data }, compute) {
	return { width, height, data: data.map(compute) };
}

// make computes a grey picture pixel by pixel, rounding and clamping.
function make(width, height, compute) {
	const data = new Uint8ClampedArray(width * height);
	for (let y = 0; y < height; y++) {
		for (let x = 0; x < width; x++) data[y * width + x] = compute(x, y);
	}
	return { width, height, data };
}
