#!/usr/bin/env bash
# Builds for 64-bit ARM on another Debian-like machine and runs tests under qemu's emulation.
#
#   run.sh rust             the tests of the core, on three kinds of CPU
#   run.sh python [FILE...] tests of the Python package: those of pixels, or these files
#
# Everything is kept in target/aarch64. Python comes from Debian's packages, which are unpacked and
# not installed.
set -euo pipefail
cd "$(dirname "$0")/../.."

triple=aarch64-unknown-linux-gnu
home=$PWD/target/aarch64
root=$home/root
python=$home/venv/bin/python
# Emulated pointer authentication, which Debian's packages use, makes Python 9 times slower.
best=max,pauth=off
files=(
    test_decode.py test_decode_jpeg.py test_decode_refused.py test_decode_sequence.py
    test_golden_ops.py test_golden_plans.py test_malformed.py test_ops.py test_parity.py
    test_policy_parity.py test_render.py test_unfused.py
)

# need FILE PACKAGE...: installs the packages if this machine lacks the file.
need() {
    [ -e "$1" ] && return
    local sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -qq
    $sudo apt-get install -y -qq --no-install-recommends "${@:2}" >/dev/null
}

toolchain() {
    need /usr/bin/aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu libc6-dev-arm64-cross
    need /usr/bin/qemu-aarch64-static qemu-user-static
    if [ ! -d "$(rustc --print target-libdir --target $triple)" ] && ! rustup target add $triple
    then
        echo "Rust's library for $triple is missing. Install it with rustup, or, for Debian's Rust:" \
            "dpkg --add-architecture arm64 && apt install libstd-rust-dev:arm64" >&2
        exit 1
    fi
    export CARGO_BUILD_TARGET=$triple
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    mkdir -p "$home"
}

# Debian 13's Python for arm64, resolved by an apt that knows of no other system.
debian() {
    [ -d "$root" ] && return
    local keys=/usr/share/keyrings/debian-archive-keyring.gpg
    need $keys debian-archive-keyring
    mkdir -p "$home"/apt/{lists,archives}/partial "$root.part"
    touch "$home/apt/status"
    echo "deb [signed-by=$keys] http://deb.debian.org/debian trixie main" >"$home/apt/sources.list"
    cat >"$home/apt/apt.conf" <<END
APT { Architecture "arm64"; Architectures { "arm64"; }; Install-Recommends "false"; };
Dir::Etc { sourcelist "$home/apt/sources.list"; sourceparts "-"; };
Dir::State "$home/apt";
Dir::State::status "$home/apt/status";
Dir::Cache "$home/apt";
END
    export APT_CONFIG=$home/apt/apt.conf
    apt-get update -qq
    apt-get install -y -qq --download-only python3.13 libstdc++6 python3-pip-whl >/dev/null
    unset APT_CONFIG
    ln -sfn usr/lib "$root.part/lib"
    for package in "$home"/apt/archives/*.deb; do dpkg-deb -x "$package" "$root.part"; done
    mv "$root.part" "$root"
}

# A virtual environment whose python is the emulator with its name, so that it can start itself.
environment() {
    mkdir -p "$home/venv/bin"
    echo "home = $root/usr/bin" >"$home/venv/pyvenv.cfg"
    cat >"$python" <<END
#!/bin/sh
exec qemu-aarch64-static -0 '$python' -L '$root' -cpu $best '$root/usr/bin/python3.13' "\$@"
END
    chmod +x "$python"
    cmp -s tests/aarch64/requirements.txt "$home/installed.txt" && return
    PYTHONPATH=$(echo "$root"/usr/share/python-wheels/pip-*.whl) "$python" -m pip install \
        --quiet --no-compile --only-binary=:all: -r tests/aarch64/requirements.txt
    cp tests/aarch64/requirements.txt "$home/installed.txt"
}

rust() {
    # Dot products of signed and unsigned bytes; of bytes of one kind; none.
    for cpu in $best cortex-a76 cortex-a72; do
        echo "== $cpu"
        CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64-static -L /usr/aarch64-linux-gnu -cpu $cpu" \
            CARGO_PROFILE_TEST_OPT_LEVEL=2 cargo test --locked --tests
    done
}

python() {
    debian
    environment
    PYO3_NO_PYTHON=1 cargo build --release --locked --features python --lib
    rm -rf "$home/package"
    mkdir "$home/package"
    cp -r python/tied_augment "$home/package/"
    cp target/$triple/release/libtied_augment.so "$home/package/tied_augment/_core.abi3.so"
    [ $# -gt 0 ] || set -- "${files[@]/#/tests/python/}"
    PYTHONPATH=$home/package "$python" -m pytest -p no:cacheprovider --timeout 3000 "$@"
}

case "${1-}" in
    rust | python) toolchain; "$@" ;;
    *) sed -n '2,/^[^#]/s/^# \?//p' "$0" >&2 && exit 2 ;;
esac
