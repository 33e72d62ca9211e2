package captcha

import (
	"math/bits"
	"slices"
)

// length is how deflate writes the length of a run: a symbol and extra bits.
type length struct {
	symbol int
	extra  uint32
	count  uint8
}

// lengthSymbol follows the table of RFC 1951, 3.2.5: eight lengths of their
// own, then four symbols for each number of extra bits, and 258 by itself.
func lengthSymbol(n int) length {
	if n == maxRun {
		return length{symbol: 285}
	}
	v := n - minRun
	if v < 8 {
		return length{symbol: 257 + v}
	}
	extra := bits.Len(uint(v)) - 3
	return length{symbol: 257 + 4*extra + v>>extra, extra: uint32(v & (1<<extra - 1)), count: uint8(extra)}
}

// train makes the Huffman code of the symbols counted so far and the header of
// the one block that a picture is; from then on pictures are written.
func (e *encoder) train() {
	lengths := codeLengths(e.counts[:], maxBits)
	codes := canonical(lengths)
	e.counts = nil
	copy(e.bytes[:], codes[:256])
	e.end = codes[endOfBlock]
	for n := minRun; n <= maxRun; n++ {
		l := lengthSymbol(n)
		c := codes[l.symbol]
		// The only distance, 1, has a code of one bit, 0.
		e.runs[n] = code{bits: c.bits | l.extra<<c.count, count: c.count + l.count + 1}
	}
	e.block.header(lengths)
}

// header writes the head of a last block with a code of its own (RFC 1951,
// 3.2.7). All lengths are written plainly, as symbols 0 to 15 of four or five
// bits.
func (w *bitWriter) header(lengths []uint8) {
	w.write(code{1, 1})             // the last block
	w.write(code{2, 2})             // with its own code
	w.write(code{symbols - 257, 5}) // as many literals and lengths
	w.write(code{0, 5})             // one distance
	// The order in which the lengths of the code of lengths stand.
	order := []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
	counts := make([]int, 16)
	for _, l := range lengths {
		counts[l]++
	}
	counts[1]++ // of the distance
	inner := codeLengths(counts, 7)
	w.write(code{uint32(len(order) - 4), 4})
	for _, symbol := range order {
		var l uint8
		if symbol < len(inner) {
			l = inner[symbol]
		}
		w.write(code{uint32(l), 3})
	}
	codes := canonical(inner)
	for _, l := range lengths {
		w.write(codes[l])
	}
	w.write(codes[1])
}

// codeLengths makes the lengths of a Huffman code in which every symbol has
// one, none longer than limit. Counts are flattened until the longest fits.
func codeLengths(counts []int, limit uint8) []uint8 {
	type node struct{ weight, left, right int }
	flatten := 1
	for {
		var nodes []node
		var open []int // indexes of trees not yet joined, by falling weight
		for _, n := range counts {
			open = append(open, len(nodes))
			nodes = append(nodes, node{weight: n/flatten + 1, left: -1})
		}
		for len(open) > 1 {
			slices.SortStableFunc(open, func(a, b int) int { return nodes[b].weight - nodes[a].weight })
			a, b := open[len(open)-1], open[len(open)-2]
			open = append(open[:len(open)-2], len(nodes))
			nodes = append(nodes, node{nodes[a].weight + nodes[b].weight, a, b})
		}
		lengths := make([]uint8, len(counts))
		longest := uint8(0)
		var walk func(n int, depth uint8)
		walk = func(n int, depth uint8) {
			if nodes[n].left < 0 {
				lengths[n], longest = depth, max(longest, depth)
				return
			}
			walk(nodes[n].left, depth+1)
			walk(nodes[n].right, depth+1)
		}
		walk(open[0], 0)
		if longest <= limit {
			return lengths
		}
		flatten *= 2
	}
}

// canonical gives each symbol its code (RFC 1951, 3.2.2), turned round, since
// codes are written from their highest bit.
func canonical(lengths []uint8) []code {
	codes := make([]code, len(lengths))
	next := uint32(0)
	for l := uint8(1); l <= maxBits; l++ {
		next <<= 1
		for symbol, have := range lengths {
			if have == l {
				codes[symbol] = code{bits.Reverse32(next) >> (32 - l), l}
				next++
			}
		}
	}
	return codes
}
