"use strict";
(() => {
	const data = JSON.parse(document.getElementById("data").textContent);
	const all = (selector, root) => Array.from((root || document).querySelectorAll(selector));
	const words = { w: "warming up", c: "continues", b: "breaks", s: "stalls" };

	const { number, ratio, odds, often, clock } = look;

	// Tables: a button in every heading, which sorts by data-v where there is one, else by the text.
	for (const table of all("table.sortable")) {
		const heads = all("thead th", table), body = table.tBodies[0];
		heads.forEach((head, column) => {
			const button = document.createElement("button");
			button.type = "button";
			button.textContent = head.textContent;
			head.replaceChildren(button);
			button.addEventListener("click", () => {
				// Of numbers the largest come first.
				const up = (head.getAttribute("aria-sort") || (head.classList.contains("n") ? "ascending" : "descending")) === "ascending" ? -1 : 1;
				heads.forEach((other) => other.removeAttribute("aria-sort"));
				head.setAttribute("aria-sort", up > 0 ? "ascending" : "descending");
				const key = (row) => row.cells[column].dataset.v ?? row.cells[column].textContent;
				const rows = Array.from(body.rows).map((row, i) => ({ row, i, key: key(row) }));
				const numeric = rows.every((r) => r.key !== "" && !Number.isNaN(Number(r.key)));
				rows.sort((a, b) => up * (numeric ? Number(a.key) - Number(b.key) : a.key.localeCompare(b.key)) || a.i - b.i);
				body.append(...rows.map((r) => r.row));
			});
		});
	}

	const controls = document.getElementById("controls");
	controls.hidden = !controls.querySelector("input");
	controls.addEventListener("submit", (event) => event.preventDefault());
	const maps = document.getElementById("maps");
	if (maps) maps.addEventListener("change", () => document.body.classList.toggle("no-maps", !maps.checked));

	// Find: rows, alarms and articles of the videos that are left.
	const find = document.getElementById("find"), only = document.getElementById("only");
	if (find) {
		const rows = all("[data-row]"), articles = all("article.video"), names = articles.map((a) => a.querySelector("h2").textContent.toLowerCase());
		const alarmed = new Set(all("[data-alarmed]").map((row) => row.dataset.row));
		const sift = () => {
			const wanted = find.value.trim().toLowerCase(), left = names.map((name, i) => name.includes(wanted) && (!only.checked || alarmed.has(String(i))));
			articles.forEach((article, i) => { article.hidden = !left[i]; });
			for (const row of rows) row.hidden = !left[Number(row.dataset.row)];
			const count = left.filter(Boolean).length;
			document.getElementById("found").textContent = count === left.length ? String(count) : `${count} of ${left.length}`;
			document.getElementById("none").hidden = count > 0;
		};
		find.addEventListener("input", sift);
		only.addEventListener("change", sift);
		// A link to a video that is not among them brings all of them back.
		window.addEventListener("hashchange", () => {
			const aim = document.querySelector(location.hash || "#videos");
			if (!aim || !aim.closest("[hidden]")) return;
			find.value = "";
			only.checked = false;
			sift();
			aim.scrollIntoView();
		});
	}

	// Every video has one cursor: on its timeline and, of the moment it falls into, among the moments that look alike.
	const titles = all("article.video > header h2").map((h) => h.textContent);
	const videos = data.map((video, index) => {
		const article = document.getElementById(`v${index + 1}`);
		return { ...video, index, article, chart: article.querySelector(".chart"), dots: all(".projection circle", article), at: -1 };
	});

	const nearest = (starts, ends, at) => {
		let low = 0, high = starts.length - 1;
		while (low < high) {
			const middle = (low + high + 1) >> 1;
			if (starts[middle] <= at + 1e-6) low = middle; else high = middle - 1;
		}
		return low;
	};

	const told = (video, i) => {
		const parts = [`energy ${number(video.e[i])}`];
		if (video.p[i] >= 0) {
			const times = video.l[i] >= 0 ? ratio(video.e[i], video.x[i]) : "", alarm = video.v[i] === "b" || video.v[i] === "s";
			if (times) parts.unshift(times);
			parts.push(`expected ${number(video.l[i])} to ${number(video.h[i])}`, alarm ? `by chance ${often(video.p[i], video.w)}` : odds(video.p[i]));
		}
		return `${clock(video.t[i])} ${words[video.v[i]]}: ${parts.join(", ")}`;
	};

	const choose = (video, i) => {
		if (!video.chart) return;
		video.at = i;
		const length = video.d[video.d.length - 1] || 1, middle = (video.t[i] + video.d[i]) / 2;
		const line = video.chart.querySelector(".cursor");
		line.setAttribute("x1", `${100 * middle / length}%`);
		line.setAttribute("x2", `${100 * middle / length}%`);
		line.classList.add("on");
		const text = told(video, i);
		video.article.querySelector(".readout output").textContent = text;
		video.chart.setAttribute("aria-valuenow", i);
		video.chart.setAttribute("aria-valuetext", text);
		if (video.m.length) showAlike(video, nearest(video.m.map((m) => m[0]), null, middle));
	};

	const showAlike = (video, moment) => {
		const near = video.n[moment] || [];
		video.dots.forEach((dot, k) => {
			dot.classList.toggle("chosen", k === moment);
			dot.classList.toggle("near", near.some((n) => n[0] === video.index && n[1] === k));
		});
		const box = video.article.querySelector(".alike"), head = document.createElement("span"), list = document.createElement("ol");
		head.textContent = near.length ? `${clock(video.m[moment][0])} looks most like` : "";
		for (const [other, m, distance] of near) {
			const item = document.createElement("li"), link = document.createElement("a");
			const at = data[other].m[m][0];
			link.href = `#v${other + 1}`;
			link.dataset.video = other;
			link.dataset.at = at;
			link.textContent = other === video.index ? clock(at) : `${titles[other]} ${clock(at)}`;
			item.append(link, ` at ${number(Number((100 * distance).toPrecision(2)))} % of the usual distance`);
			list.append(item);
		}
		box.replaceChildren(head, list);
	};

	for (const video of videos) {
		if (!video.chart || !video.t.length) continue;
		const { chart } = video;
		chart.tabIndex = 0;
		chart.setAttribute("role", "slider");
		chart.setAttribute("aria-valuemin", 0);
		chart.setAttribute("aria-valuemax", video.t.length - 1);
		chart.setAttribute("aria-valuenow", 0);
		chart.setAttribute("aria-valuetext", told(video, 0));
		const length = video.d[video.d.length - 1] || 1;
		const pick = (event) => {
			const box = chart.querySelector(".timeline").getBoundingClientRect();
			choose(video, nearest(video.t, video.d, length * (event.clientX - box.left) / box.width));
		};
		chart.addEventListener("pointerdown", pick);
		chart.addEventListener("pointermove", (event) => { if (event.buttons || event.pointerType === "mouse") pick(event); });
		chart.addEventListener("keydown", (event) => {
			const last = video.t.length - 1, page = Math.max(1, Math.round(last / 10));
			const alarms = (way) => {
				let i = video.at + way;
				while (i >= 0 && i <= last && video.v[i] !== "b" && video.v[i] !== "s") i += way;
				return i >= 0 && i <= last ? i : video.at;
			};
			const to = {
				ArrowLeft: video.at - 1, ArrowDown: video.at - 1, ArrowRight: video.at + 1, ArrowUp: video.at + 1,
				PageDown: video.at - page, PageUp: video.at + page, Home: 0, End: last, n: alarms(1), p: alarms(-1),
			}[event.key];
			if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
			event.preventDefault();
			choose(video, Math.min(last, Math.max(0, to)));
		});
		video.dots.forEach((dot, k) => dot.addEventListener("click", () => choose(video, nearest(video.t, video.d, video.m[k][0]))));
	}

	// A link to a moment moves the cursor of its video there.
	document.addEventListener("click", (event) => {
		const link = event.target.closest("a[data-at]");
		if (!link) return;
		const video = videos[Number(link.dataset.video)];
		if (!video || !video.t.length) return;
		choose(video, nearest(video.t, video.d, Number(link.dataset.at)));
		if (!video.chart) return;
		// Following the link by itself would take the focus away again.
		event.preventDefault();
		location.hash = link.hash;
		if (video.article.hidden) window.dispatchEvent(new HashChangeEvent("hashchange"));
		video.article.scrollIntoView();
		video.chart.focus({ preventScroll: true });
	});

	window.addEventListener("beforeprint", () => all("details").forEach((d) => { d.open = true; }));
})();
