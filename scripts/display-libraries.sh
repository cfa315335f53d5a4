#!/usr/bin/env bash
# Installs what a napari window needs on Debian and Ubuntu, with a virtual
# screen for computers that have none. Elsewhere it does nothing.
set -euo pipefail

packages=(
    git python3-venv xvfb xauth libegl1 libgl1 libgl1-mesa-dri libopengl0
    libdbus-1-3 libfontconfig1 libglib2.0-0 libxkbcommon-x11-0 libxcb-cursor0
    libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0
    libxcb-render-util0 libxcb-shape0 libxcb-xkb1 libxcb-xinerama0
    libxcb-xfixes0
)

command -v apt-get >/dev/null || exit 0

missing=()
for package in "${packages[@]}"; do
    # Newer systems call some of them by a name that ends in t64.
    { dpkg-query -W -f '${Status}\n' "$package" "${package}t64" 2>/dev/null ||
        true; } | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    as_root=(sudo)
fi
export DEBIAN_FRONTEND=noninteractive
if ! { "${as_root[@]}" apt-get update -q &&
    "${as_root[@]}" apt-get install -y -q --no-install-recommends \
        "${missing[@]}"; }; then
    # They may be there under other names, so this is not the end.
    echo "Could not install: ${missing[*]}" >&2
fi
