# Sourced by the demo scripts: headings, notes and commands as they would be typed. Coloured on a
# terminal only. Prints nothing by itself.
# shellcheck shell=bash

if [[ -t 1 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
  bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'
else
  bold='' dim='' plain=''
fi

heading() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
note() { printf '%s   %s%s\n' "$dim" "$*" "$plain"; }
typed() { printf '%s$ %s%s\n' "$bold" "$*" "$plain"; }
