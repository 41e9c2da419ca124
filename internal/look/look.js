"use strict";
// How numbers are said to people, as in look.go: the two are held against each other in a test.
const look = (() => {
	const raised = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
	const digits = (value, count) => Number(value.toPrecision(count));
	const grouped = (value) => String(value).replace(/\B(?=(\d{3})+(?!\d))/g, ",");

	const number = (value) => {
		if (value === 0) return "0";
		if (Math.abs(value) >= 1e-4 && Math.abs(value) < 1e6) return String(digits(value, 3)).replace("-", "−");
		const [mantissa, exponent] = value.toExponential(1).split("e");
		return `${mantissa.replace("-", "−")}×10${Array.from(String(Number(exponent)), (c) => raised[c]).join("")}`;
	};
	const count = (value) => {
		if (value < 10) return String(digits(value, 2));
		if (value < 1e6) return grouped(digits(value, 2));
		return value < 1e9 ? `${digits(value / 1e6, 2)} million` : `${digits(value / 1e9, 2)} billion`;
	};
	const ratio = (energy, expected) => {
		if (!(expected > 0) || energy < 0) return "";
		const times = energy / expected;
		if (times >= 1e6) return "over 1,000,000× the expected";
		if (times >= 0.1) return `${count(times)}× the expected`;
		return times < 1e-6 ? "under 1/1,000,000 of the expected" : `1/${count(1 / times)} of the expected`;
	};
	const odds = (p) => {
		if (p >= 0.5) return "ordinary";
		return p < 1e-9 ? "less than 1 in a billion" : `1 in ${count(1 / p)}`;
	};
	const units = [["s", 1], ["min", 60], ["h", 3600], ["days", 86400], ["months", 2629800], ["years", 31557600]];
	const often = (p, seconds) => {
		if (!(p > 0)) return "less than once in 1,000 years";
		const every = seconds / p;
		if (every > 1000 * 31557600) return "less than once in 1,000 years";
		let [name, size] = units[0];
		for (const [other, long] of units) if (every >= (long > 60 ? 1.5 : 1.95) * long) [name, size] = [other, long];
		return `once in ${count(every / size)} ${name}`;
	};
	const clock = (seconds) => {
		const tenths = Math.round(seconds * 10), h = Math.floor(tenths / 36000), m = Math.floor(tenths / 600) % 60;
		const s = ((tenths % 600) / 10).toFixed(1).padStart(4, "0");
		return h ? `${h}:${String(m).padStart(2, "0")}:${s}` : `${m}:${s}`;
	};
	return { number, ratio, odds, often, clock };
})();
