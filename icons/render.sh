#!/bin/sh
# Makes the PNG files from the drawings. Needs rsvg-convert (Debian: librsvg2-bin).
set -eu
cd "$(dirname "$0")"

render() { rsvg-convert --width "$2" --height "$2" --output "$3" "$1"; }

render cairn-small.svg 16 16x16.png
render cairn-small.svg 32 32x32.png
render cairn.svg 64 64x64.png
render cairn.svg 128 128x128.png
render cairn.svg 256 "128x128@2x.png"
render cairn.svg 512 512x512.png
