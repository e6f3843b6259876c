#!/usr/bin/env bash
# The compiler, with the mappings of paths that release-build.sh made.
exec "$@" ${REMAP:?only release-build.sh runs this} # options without blanks in them
