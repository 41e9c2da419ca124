"use strict";
(() => {
	const byId = (id) => document.getElementById(id);
	const limit = 240; // windows of a stream that are drawn, as many as the server keeps
	const verdicts = ["warming_up", "continues", "breaks", "stalls"];
	const word = (verdict) => verdict.replaceAll("_", " ");

	const streams = new Map(); // by id
	const alarms = new Map(); // by id
	let dead = [];
	let clockOffset = 0; // the server's clock minus ours, in milliseconds
	const colours = {};

	const readColours = () => {
		const style = getComputedStyle(document.documentElement);
		for (const name of ["energy", "band", "breaks", "stalls", "line", "muted"]) colours[name] = style.getPropertyValue(`--${name}`).trim();
	};
	readColours();
	matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); for (const s of streams.values()) s.dirty = true; paint(); });

	const { number, ratio, odds, often, clock } = look;
	// Streams whose sender told no times count from 1970: there the time since their beginning says more.
	const moment = (time, start) => {
		const date = new Date(time);
		return date.getUTCFullYear() < 1980 ? clock(start) : date.toLocaleString(undefined, { dateStyle: "short", timeStyle: "medium" });
	};
	const text = (node, value) => { if (node.textContent !== value) node.textContent = value; };
	const tag = (node, verdict) => { text(node, word(verdict)); const wanted = `tag ${verdict}`; if (node.className !== wanted) node.className = wanted; };
	// A window: [start, energy, low, high, p, verdict, expected]. In words first, then in numbers.
	const rareness = (p, verdict, seconds) => verdict >= 2 ? `by chance ${often(p, seconds)}` : odds(p);
	const times = (energy, low, expected) => low >= 0 && ratio(energy, expected) || `energy ${number(energy)}`;
	const plainly = (p, seconds) => {
		if (p[4] < 0) return `energy ${number(p[1])}`;
		return times(p[1], p[2], p[6]) + (p[4] < 0.05 || p[5] >= 2 ? `; ${rareness(p[4], p[5], seconds)}` : "");
	};
	const ago = (seconds) => seconds < 100 ? `${Math.round(seconds)} s` : seconds < 6000 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;

	// Cards ------------------------------------------------------------------------------------------------------------------------------

	const seen = new IntersectionObserver((entries) => {
		for (const entry of entries) {
			const stream = entry.target.stream;
			stream.visible = entry.isIntersecting;
			if (stream.visible) stream.dirty = true;
		}
		paint();
		frames();
	}, { rootMargin: "80px" });

	const add = (told) => {
		const node = byId("t-card").content.firstElementChild.cloneNode(true);
		const stream = {
			id: told.id, name: told.name, points: [], total: 0, node, visible: false, dirty: true, frame: 0, shown: -1, busy: false, asked: 0,
			img: node.querySelector("img"), from: node.querySelector(".from"), canvas: node.querySelector("canvas"), tag: node.querySelector(".tag"), numbers: node.querySelector(".numbers"),
		};
		const button = node.querySelector(".name");
		button.textContent = told.name;
		button.setAttribute("aria-haspopup", "dialog");
		button.addEventListener("click", () => open(stream));
		node.stream = stream;
		streams.set(told.id, stream);
		seen.observe(node);
		reorder();
		return stream;
	};

	const remove = (id) => {
		const stream = streams.get(id);
		if (!stream) return;
		seen.unobserve(stream.node);
		stream.node.remove();
		if (stream.url) URL.revokeObjectURL(stream.url);
		streams.delete(id);
	};

	const take = (told, whole) => {
		const stream = streams.get(told.id) || add(told);
		const points = told.points || [];
		if (whole) stream.points = points.slice(-limit);
		else {
			const fresh = Math.min(points.length, Math.max(0, told.total - stream.total));
			for (const p of points.slice(points.length - fresh)) stream.points.push(p);
			if (stream.points.length > limit) stream.points.splice(0, stream.points.length - limit);
		}
		stream.total = told.total;
		stream.verdict = told.verdict;
		stream.reason = told.reason;
		stream.time = told.time;
		stream.seen = Date.parse(told.seen);
		stream.delay = told.delay;
		stream.window = told.window || 1;
		stream.frame = told.frame;
		stream.dirty = true;
	};

	// A timeline: the expected band, the energy, and marks whose shapes tell breaks from stalls. The scale is logarithmic, unless energies go
	// below zero. Time runs to the right, now is at the right end. With axes there are numbers beside it.
	const least = 60; // windows there is room for, however few there are
	const range = (points) => {
		let low = Infinity, high = -Infinity, even = false;
		for (const p of points) {
			low = Math.min(low, p[1]); high = Math.max(high, p[1]);
			even ||= p[1] < 0 || (p[4] >= 0 && p[2] < 0);
		}
		const spread = high - low;
		for (const p of points) {
			if (p[4] < 0) continue;
			low = Math.min(low, even ? Math.max(p[2], low - spread) : Math.max(p[2], high / 1e4));
			high = Math.max(high, even ? Math.min(p[3], high + spread) : Math.min(p[3], 4 * high));
		}
		low = even ? low : Math.max(low, high / 1e4, 1e-6);
		if (high <= low) high = even ? low + 1 : low * 2;
		return { low, high, scale: even ? (v) => (v - low) / (high - low) : (v) => Math.log(Math.max(v, low) / low) / Math.log(high / low), even };
	};
	const ticks = ({ low, high, even }) => {
		if (even) {
			const power = 10 ** Math.floor(Math.log10((high - low) / 4)), step = [1, 2, 5, 10].map((k) => k * power).find((k) => (high - low) / k <= 4);
			return Array.from({ length: Math.floor(high / step) - Math.ceil(low / step) + 1 }, (_, i) => Number(((Math.ceil(low / step) + i) * step).toPrecision(6)));
		}
		for (const steps of [[1, 2, 5], [1, 3], [1]]) {
			const found = [];
			for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) for (const k of steps) { const v = Number(`${k}e${power}`); if (v >= low && v <= high) found.push(v); }
			if (found.length <= 5) return found;
		}
		return [];
	};
	const draw = (canvas, points, seconds, axes) => {
		const width = canvas.clientWidth, height = canvas.clientHeight, ratio = devicePixelRatio || 1;
		if (!width) return 0;
		if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
			canvas.width = Math.round(width * ratio);
			canvas.height = Math.round(height * ratio);
		}
		const c = canvas.getContext("2d"), count = Math.max(least, points.length);
		c.setTransform(ratio, 0, 0, ratio, 0, 0);
		c.clearRect(0, 0, width, height);
		if (!points.length) return count;
		const measure = range(points), left = axes ? 58 : 0, floor = height - (axes ? 22 : 3), ceiling = height < 40 ? 8 : 12;
		const y = (v) => floor - (floor - ceiling) * Math.min(1, Math.max(0, measure.scale(v)));
		const step = (width - left) / count, x = (i) => width - (points.length - i - 0.5) * step;
		if (axes) {
			c.font = "11.5px system-ui, sans-serif";
			c.strokeStyle = colours.line;
			c.fillStyle = colours.muted;
			c.lineWidth = 1;
			c.textAlign = "right";
			for (const tick of ticks(measure)) { c.beginPath(); c.moveTo(left, y(tick)); c.lineTo(width, y(tick)); c.stroke(); c.fillText(number(tick), left - 6, y(tick) + 4); }
			const every = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600].find((s) => s * 6 >= count * seconds) || 7200;
			for (let back = 0; back <= count * seconds; back += every) {
				const at = width - back / seconds * step;
				c.textAlign = back === 0 ? "right" : at < left + 30 ? "left" : "center";
				c.fillText(back === 0 ? "now" : `−${ago(back)}`, at, height - 4);
			}
		}
		points.forEach((p, i) => { if (p[5] >= 2) { c.globalAlpha = 0.16; c.fillStyle = p[5] === 2 ? colours.breaks : colours.stalls; c.fillRect(x(i) - step / 2, ceiling - 4, Math.max(step, 1.5), floor - ceiling + 4); } });
		c.fillStyle = colours.band;
		c.globalAlpha = 0.22;
		for (let from = 0; from < points.length; from++) {
			if (points[from][4] < 0) continue;
			let to = from;
			while (to + 1 < points.length && points[to + 1][4] >= 0) to++;
			c.beginPath();
			for (let i = from; i <= to; i++) { c.lineTo(x(i) - step / 2, y(points[i][3])); c.lineTo(x(i) + step / 2, y(points[i][3])); }
			for (let i = to; i >= from; i--) { const bottom = Math.max(y(points[i][2]), y(points[i][3]) + 1); c.lineTo(x(i) + step / 2, bottom); c.lineTo(x(i) - step / 2, bottom); }
			c.fill();
			from = to;
		}
		c.globalAlpha = 1;
		c.strokeStyle = colours.energy;
		c.lineWidth = axes ? 1.6 : 1.3;
		c.lineJoin = "round";
		c.beginPath();
		points.forEach((p, i) => { if (i) c.lineTo(x(i), y(p[1])); else c.moveTo(x(i), y(p[1])); });
		c.stroke();
		if (points.length === 1) { c.fillStyle = colours.energy; c.fillRect(x(0) - 1.5, y(points[0][1]) - 1.5, 3, 3); }
		const size = height < 40 ? 3.5 : 5;
		points.forEach((p, i) => {
			if (p[5] < 2) return;
			c.fillStyle = p[5] === 2 ? colours.breaks : colours.stalls;
			const at = Math.min(x(i), width - size);
			c.beginPath();
			if (p[5] === 2) { const top = Math.max(0, y(p[1]) - 2.2 * size); c.moveTo(at - size, top); c.lineTo(at + size, top); c.lineTo(at, top + 1.6 * size); } else c.rect(at - 0.8 * size, Math.min(floor - 1.6 * size, y(p[1]) + 3), 1.6 * size, 1.6 * size);
			c.fill();
		});
		return count;
	};

	const paintCard = (stream) => {
		stream.dirty = false;
		const last = stream.points[stream.points.length - 1];
		tag(stream.tag, stream.verdict);
		text(stream.numbers, stream.verdict === "unscored" ? word(stream.reason || "") : last ? plainly(telling(stream, last), stream.window) : "");
		stream.node.classList.toggle("alarmed", Boolean(stream.alarmed));
		stream.node.classList.toggle("still", stream.alarmed === "stalls");
		const count = draw(stream.canvas, stream.points, stream.window);
		if (count) text(stream.from, `${ago(count * stream.window)} ago`);
	};
	// Of the last result the window that gave the verdict, where there is one.
	const telling = (stream, last) => stream.verdict === "breaks" || stream.verdict === "stalls" ? stream.points.slice(-8).reverse().find((p) => verdicts[p[5]] === stream.verdict) || last : last;

	// Where the machine is busy elsewhere the page rests as long as painting took, with the wait for it: clicks and keys come in between.
	let painting = false, unpainted = false;
	const paint = () => {
		unpainted = true;
		if (painting) return;
		painting = true;
		const asked = performance.now();
		requestAnimationFrame(() => {
			unpainted = false;
			for (const stream of streams.values()) if (stream.dirty && stream.visible) paintCard(stream);
			if (detail && detail.fresh) paintDetail();
			const took = performance.now() - asked;
			setTimeout(() => { painting = false; if (unpainted) paint(); }, took < 100 ? 0 : Math.min(2000, took));
		});
	};

	// Order and search: the cards are put in their order at most every two seconds, and not while one of them has the focus.
	let ordering = 0;
	const reorder = () => {
		if (ordering) return;
		ordering = setTimeout(() => { ordering = 0; place(); }, streams.size < 3 ? 0 : 300);
	};
	const isSilent = (stream) => Date.now() + clockOffset - stream.seen > 30000;
	const states = {
		all: () => true, alarmed: (s) => Boolean(s.alarmed), judged: (s) => s.verdict !== "warming_up" && s.verdict !== "unscored",
		warming: (s) => s.verdict === "warming_up", silent: isSilent,
	};
	const place = (now) => {
		const list = byId("cards"), wanted = byId("find").value.trim().toLowerCase(), state = states[byId("state").value];
		if (!now && list.contains(document.activeElement)) { ordering = setTimeout(() => { ordering = 0; place(); }, 2000); return; }
		const name = (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }) || a.id - b.id;
		const surprise = (s) => s.points.slice(-10).reduce((least, p) => p[4] >= 0 ? Math.min(least, p[4]) : least, 2);
		const compare = { name, alarm: (a, b) => (b.latest || 0) - (a.latest || 0) || name(a, b), p: (a, b) => surprise(a) - surprise(b) || name(a, b) }[byId("order").value];
		let before = null, shown = 0;
		for (const stream of Array.from(streams.values()).sort(compare)) {
			const hidden = !stream.name.toLowerCase().includes(wanted) || !state(stream);
			if (!hidden) shown++;
			if (stream.node.hidden !== hidden) stream.node.hidden = hidden;
			const next = before ? before.nextElementSibling : list.firstElementChild;
			if (next !== stream.node) list.insertBefore(stream.node, next);
			before = stream.node;
		}
		text(byId("f-streams"), String(streams.size));
		text(byId("shown"), shown === streams.size ? "" : `${shown} of ${streams.size}`);
		byId("none").hidden = shown > 0;
		if (streams.size) text(byId("none"), wanted ? "No stream like that has this in its name." : "No stream is like that now.");
	};
	byId("find").addEventListener("input", () => { clearTimeout(ordering); ordering = 0; place(true); });
	for (const id of ["order", "state"]) byId(id).addEventListener("change", () => { clearTimeout(ordering); ordering = 0; place(true); keep(id, byId(id).value); });
	byId("controls").addEventListener("submit", (event) => event.preventDefault());
	setInterval(() => { if (byId("order").value !== "name" || byId("state").value !== "all") reorder(); }, 2000);

	// What somebody has chosen stays chosen, as far as the browser keeps such things.
	const keep = (key, value) => { try { localStorage.setItem(`ensue-${key}`, value); } catch { /* it is chosen for this time only */ } };
	const kept = (key) => { try { return localStorage.getItem(`ensue-${key}`); } catch { return null; } };
	for (const id of ["order", "state"]) if (Array.from(byId(id).options).some((o) => o.value === kept(id))) byId(id).value = kept(id);
	const wall = byId("wall"), reading = byId("reading");
	const setWall = () => { byId("cards").classList.toggle("wall", wall.checked); for (const s of streams.values()) s.dirty = true; paint(); };
	wall.checked = kept("wall") === "yes";
	byId("cards").classList.toggle("wall", wall.checked);
	wall.addEventListener("change", () => { keep("wall", wall.checked ? "yes" : "no"); if (wall.checked) reading.open = false; setWall(); });
	reading.open = kept("reading") ? kept("reading") === "open" : innerWidth > 900;
	reading.querySelector("summary").addEventListener("click", () => keep("reading", reading.open ? "closed" : "open")); // it turns after the click

	// Frames: of streams that are in sight only, a few at a time; asking tells the server that somebody looks. The longer one takes, here or
	// at the server, the rarer they are asked for: pictures must not keep a busy machine from everything else.
	let fetching = 0, slow = 0; // slow: milliseconds that a frame takes of late
	const withMap = () => byId("maps").checked ? "" : "?map=0";
	const fetchFrame = async (stream) => {
		stream.busy = true;
		stream.asked = performance.now();
		fetching++;
		const wanted = stream.frame + withMap();
		try {
			const answer = await fetch(`api/frames/${stream.id}${withMap()}`, { cache: "no-store" });
			if (answer.status === 200) {
				const url = URL.createObjectURL(await answer.blob());
				const old = stream.url;
				stream.url = url;
				stream.img.src = url;
				stream.img.hidden = false;
				stream.img.alt = `Latest frame of ${stream.name}`;
				stream.shown = wanted;
				if (detail === stream) showFrame(stream);
				if (old) setTimeout(() => URL.revokeObjectURL(old), 1000);
			}
			slow += (performance.now() - stream.asked - slow) / 4;
		} catch { /* the connection is gone; the event stream tells it */ }
		stream.busy = false;
		fetching--;
		frames();
	};
	const frames = () => {
		if (document.hidden) return;
		const now = performance.now();
		// The more are in sight, the rarer each is asked for: 25 frames a second are enough for a page.
		let sight = 0;
		for (const stream of streams.values()) if (stream.visible) sight++;
		const pause = Math.max(700, sight * 40, Math.min(10000, 4 * slow)), most = slow > 500 ? 1 : 4;
		for (const stream of streams.values()) {
			if (fetching >= most) return;
			if (stream.busy || !(stream.visible || detail === stream)) continue;
			const fresh = stream.shown !== stream.frame + withMap();
			const since = now - stream.asked;
			if (stream.asked === 0 || (fresh && stream.frame > 0 && since > pause) || since > Math.max(5000, pause)) fetchFrame(stream);
		}
	};
	setInterval(frames, 1000);
	byId("maps").addEventListener("change", () => { for (const s of streams.values()) s.asked = Math.min(s.asked, 1); frames(); });
	document.addEventListener("visibilitychange", frames);

	// One stream -------------------------------------------------------------------------------------------------------------------------

	let detail = null;
	const dialog = byId("detail");
	const open = (stream) => {
		detail = stream;
		text(byId("d-name"), stream.name);
		showFrame(stream);
		dialog.showModal();
		stream.asked = Math.min(stream.asked, 1);
		paintDetail();
		frames();
	};
	const showFrame = (stream) => {
		const img = byId("d-img");
		img.hidden = !stream.url;
		byId("d-wait").hidden = Boolean(stream.url);
		if (stream.url) { img.src = stream.url; img.alt = `Latest frame of ${stream.name}`; }
	};
	const cell = (row, value, numeric) => { const td = row.insertCell(); td.textContent = value; if (numeric) td.className = "n"; return td; };
	const paintDetail = () => {
		const stream = detail;
		stream.fresh = false;
		draw(byId("d-line"), stream.points, stream.window, true);
		const last = stream.points[stream.points.length - 1];
		tag(byId("d-tag"), stream.verdict);
		text(byId("d-said"), stream.verdict === "unscored" ? word(stream.reason || "") : last ? plainly(telling(stream, last), stream.window) : "");
		text(byId("d-seen"), `seen ${Math.max(0, Math.round((Date.now() + clockOffset - stream.seen) / 1000))} s ago, ${number(stream.delay || 0)} s after it arrived`);
		const rows = stream.points.slice(-12).reverse().map((p) => {
			const row = document.createElement("tr");
			cell(row, clock(p[0]));
			const mark = document.createElement("b");
			tag(mark, verdicts[p[5]]);
			cell(row, "").append(mark);
			cell(row, p[4] < 0 ? "" : plainly(p, stream.window));
			cell(row, number(p[1]), true);
			cell(row, p[4] < 0 ? "" : `${number(p[2])} to ${number(p[3])}`, true);
			cell(row, p[4] < 0 ? "" : number(p[4]), true);
			return row;
		});
		byId("d-rows").replaceChildren(...rows);
	};
	byId("d-close").addEventListener("click", () => dialog.close());
	dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
	dialog.addEventListener("close", () => { detail = null; });

	// Alarms -----------------------------------------------------------------------------------------------------------------------------

	const page = 20; // alarms that are listed at first
	let listed = page;
	const alarmNode = (alarm) => {
		const node = byId("t-alarm").content.firstElementChild.cloneNode(true);
		const name = node.querySelector(".name");
		tag(node.querySelector(".tag"), alarm.verdict);
		name.textContent = alarm.stream;
		name.addEventListener("click", () => { const stream = Array.from(streams.values()).find((s) => s.name === alarm.stream); if (stream) open(stream); });
		node.querySelector(".ack").addEventListener("click", () => acknowledge(alarms.get(alarm.id)));
		return node;
	};
	const refresh = (alarm) => {
		const node = alarm.node ||= alarmNode(alarm);
		const img = node.querySelector("img"), button = node.querySelector(".ack"), done = Boolean(alarm.acknowledged);
		if (alarm.picture && img.hidden) { img.src = `api/alarms/${alarm.id}/picture`; img.alt = `Frame of ${alarm.stream} where it ${alarm.verdict}`; img.loading = "lazy"; img.hidden = false; }
		text(node.querySelector(".what"), alarm.p < 0 ? `energy ${number(alarm.energy)}` : `${times(alarm.energy, alarm.low, alarm.expected)}; by chance ${often(alarm.p, alarm.window || 1)}`);
		const long = (Date.parse(alarm.until) - Date.parse(alarm.time)) / 1000;
		text(node.querySelector(".when"), moment(alarm.time, alarm.start) + (alarm.results > 1 ? `, for ${ago(long)}` : ""));
		node.classList.toggle("acknowledged", done);
		button.textContent = done ? "Take back" : "Acknowledge";
		button.setAttribute("aria-label", `${done ? "Take back the acknowledgement of" : "Acknowledge"}: ${alarm.stream} ${word(alarm.verdict)} at ${moment(alarm.time, alarm.start)}`);
	};
	const list = () => {
		const all = Array.from(alarms.values()).sort((a, b) => b.id - a.id), open = all.filter((a) => !a.acknowledged);
		const wanted = byId("seen").checked ? all : open;
		const nodes = wanted.slice(0, listed).map((a) => { refresh(a); return a.node; });
		const box = byId("alarm-list"), focused = box.contains(document.activeElement) ? document.activeElement : null;
		if (nodes.length !== box.children.length || nodes.some((n, i) => box.children[i] !== n)) {
			const at = focused ? Array.from(box.children).indexOf(focused.closest("li")) : -1;
			box.replaceChildren(...nodes);
			// Whoever acknowledges one alarm after the other with the keyboard stays in the list.
			if (focused) (box.contains(focused) ? focused : box.children[Math.min(at, box.children.length - 1)]?.querySelector(".ack") || byId("seen")).focus();
		}
		const count = byId("alarm-count");
		count.hidden = open.length === 0;
		byId("ack-all").hidden = open.length < 2;
		text(count, String(open.length));
		document.title = (open.length ? `(${open.length}) ` : "") + byId("name").textContent;
		byId("no-alarms").hidden = wanted.length > 0;
		text(byId("no-alarms"), all.length ? "All alarms are acknowledged." : "Nothing broke and nothing stalled.");
		byId("more-alarms").hidden = wanted.length <= listed;
		const latest = new Map();
		for (const a of open) if (!latest.has(a.stream)) latest.set(a.stream, a);
		const ever = new Map();
		for (const a of all) if (!ever.has(a.stream)) ever.set(a.stream, a.id);
		for (const stream of streams.values()) {
			const alarmed = latest.get(stream.name)?.verdict || "";
			if (alarmed !== (stream.alarmed || "")) { stream.alarmed = alarmed; stream.dirty = true; }
			// Those that nobody has acknowledged come before all others.
			stream.latest = alarmed ? 1e9 + latest.get(stream.name).id : ever.get(stream.name) || 0;
		}
	};
	const acknowledge = async (alarm) => {
		try {
			const answer = await fetch(`api/alarms/${alarm.id}/acknowledge`, { method: alarm.acknowledged ? "DELETE" : "POST", headers: { "X-Ensue-Page": "1" } });
			if (!answer.ok) throw new Error(await answer.text());
			alarm.acknowledged = alarm.acknowledged ? undefined : new Date().toISOString();
			list();
			paint();
		} catch (error) { announce(`It could not be acknowledged: ${error.message}`); }
	};
	byId("ack-all").addEventListener("click", async () => {
		const open = Array.from(alarms.values()).filter((a) => !a.acknowledged);
		for (const alarm of open) await acknowledge(alarm);
		byId("seen").focus();
		announce(`${open.length} alarms acknowledged`);
	});
	byId("seen").addEventListener("change", list);
	byId("more-alarms").addEventListener("click", () => { listed += page; list(); });

	// What a screen reader is told: new alarms, together where several come at once.
	let waiting = [], announcing = 0;
	const announce = (what) => {
		waiting.push(what);
		announcing ||= setTimeout(() => {
			announcing = 0;
			byId("told").textContent = waiting.length > 3 ? `${waiting.length} new alarms, the last: ${waiting[waiting.length - 1]}` : waiting.join(". ");
			waiting = [];
		}, 1500);
	};

	const takeAlarm = (told, whole) => {
		const known = alarms.get(told.id);
		if (!known && !whole && !told.acknowledged) announce(`${told.stream} ${word(told.verdict)}`);
		alarms.set(told.id, Object.assign(known || {}, { acknowledged: undefined }, told));
		if (alarms.size > 300) alarms.delete(alarms.keys().next().value);
	};

	// The pipeline -----------------------------------------------------------------------------------------------------------------------

	const history = []; // of counts, for rates over the last seconds
	const takeStatus = (status, now) => {
		history.push({ now, status });
		while (history.length > 2 && now - history[0].now > 5000) history.shift();
		const before = history[0], seconds = Math.max(0.001, (now - before.now) / 1000);
		const rate = (after, earlier) => Math.max(0, (after - earlier) / seconds);
		text(byId("f-results"), status.results.toLocaleString());
		text(byId("f-dropped"), status.dropped.toLocaleString());
		text(byId("f-dead"), status.dead.toLocaleString());
		text(byId("f-rate"), rate(status.received, before.status.received).toFixed(1));
		const rows = byId("stage-rows");
		(status.stages || []).forEach((stage, i) => {
			let row = rows.rows[i];
			if (!row) {
				row = rows.insertRow();
				const head = document.createElement("th");
				head.scope = "row";
				const meter = document.createElement("meter"), label = document.createElement("span");
				row.append(head);
				row.insertCell().append(meter, label);
				cell(row, "", true);
				cell(row, "", true);
			}
			const earlier = (before.status.stages || [])[i] || stage, meter = row.querySelector("meter");
			text(row.cells[0], stage.name);
			meter.max = Math.max(1, stage.room);
			meter.high = meter.max * 0.8;
			meter.optimum = 0;
			meter.value = stage.waiting;
			meter.setAttribute("aria-label", `${stage.name}: ${stage.waiting} of ${stage.room} waiting`);
			text(row.querySelector("span"), `${stage.waiting} of ${stage.room}`);
			text(row.cells[2], rate(stage.done, earlier.done).toFixed(1));
			text(row.cells[3], `${Math.round(100 * rate(stage.busy, earlier.busy))} %`);
		});
	};

	const takeDead = (letters) => {
		dead = letters.slice().reverse().concat(dead).slice(0, 100);
		byId("no-dead").hidden = dead.length > 0;
		byId("dead-list").replaceChildren(...dead.slice(0, 20).map((letter) => {
			const item = document.createElement("li"), code = document.createElement("code"), rest = document.createElement("div");
			code.textContent = letter.code;
			rest.className = "muted";
			rest.textContent = `${new Date(letter.time).toLocaleTimeString()} · ${letter.segment} · ${letter.origin}: ${letter.message}`;
			item.append(code, rest);
			return item;
		}));
	};

	let version = "";
	const receive = (update) => {
		if (update.whole) {
			const told = new Set((update.streams || []).map((s) => s.id));
			for (const id of Array.from(streams.keys())) if (!told.has(id) || streams.get(id).name !== update.streams.find((s) => s.id === id).name) remove(id);
			alarms.clear();
			dead = [];
			history.length = 0;
			// Another version has begun to serve: its page may be another one.
			if (version && version !== update.version) { location.reload(); return; }
			version = update.version;
			text(byId("name"), update.name || "ensue");
			text(byId("model"), `Model ${update.model || "unknown"}${update.version ? `, ensue ${update.version}` : ""}`);
			takeDead(update.dead || []);
		} else if (update.dead) takeDead(update.dead);
		const now = Date.parse(update.now);
		clockOffset = now - Date.now();
		// What comes lags behind where it is read more slowly than it is sent: then everything is asked for anew instead.
		fastest = Math.max(fastest, clockOffset);
		if (fastest - clockOffset < 5000) behind = 0;
		else if (Date.now() - (behind ||= Date.now()) > 5000) { source.close(); connect(); return; }
		for (const id of update.gone || []) remove(id);
		for (const told of update.streams || []) { take(told, update.whole); if (detail && detail.id === told.id) detail.fresh = true; }
		for (const told of update.alarms || []) takeAlarm(told, update.whole);
		if (update.whole || update.alarms) list();
		takeStatus(update.status, now);
		if (update.whole || update.gone) reorder();
		paint();
		frames();
	};

	// A stream that was silent for half a minute is shown pale.
	setInterval(() => { for (const stream of streams.values()) stream.node.classList.toggle("silent", isSilent(stream)); }, 5000);

	// The connection. Updates come twice a second: where none comes for ten seconds it is lost, whatever the browser thinks. It is tried again
	// for ever; whoever is no longer let in is sent to where the token is asked for.
	const link = byId("link"), lost = byId("lost");
	let source = null, heard = Date.now(), tries = 0, again = 0;
	let fastest = -Infinity, behind = 0; // the least delay of this connection, as an offset of the clocks; since when it has been longer
	const live = () => {
		heard = Date.now();
		tries = 0;
		if (link.className === "link live") return;
		link.className = "link live";
		text(link, "live");
		lost.hidden = true;
	};
	const fail = () => {
		source?.close();
		source = null;
		if (again) return;
		if (link.className !== "link gone") {
			link.className = "link gone";
			text(link, "connection lost");
			text(lost, `Connection lost at ${new Date().toLocaleTimeString()}: what you see is from before. Trying again …`);
			lost.hidden = false;
		}
		again = setTimeout(async () => {
			again = 0;
			try {
				const answer = await fetch("assets/page.js", { method: "HEAD", cache: "no-store" });
				if (answer.status === 401) { location.reload(); return; }
				connect();
			} catch { fail(); }
		}, Math.min(10000, 500 * 2 ** tries++));
	};
	const connect = () => {
		heard = Date.now();
		fastest = -Infinity;
		behind = 0;
		source = new EventSource("api/events");
		source.addEventListener("error", fail);
		source.addEventListener("message", (event) => { receive(JSON.parse(event.data)); live(); });
	};
	connect();
	// Where this very clock was held up (a browser does so in the background), what has come is only waiting to be read.
	let tick = Date.now();
	setInterval(() => {
		const late = Date.now() - tick > 5000;
		tick = Date.now();
		if (late) heard = tick;
		if (source && tick - heard > 10000) fail();
	}, 2000);
	let sizing = 0;
	window.addEventListener("resize", () => { cancelAnimationFrame(sizing); sizing = requestAnimationFrame(() => { for (const s of streams.values()) s.dirty = true; if (detail) detail.fresh = true; paint(); }); });
})();
