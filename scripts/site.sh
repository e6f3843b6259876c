#!/usr/bin/env bash
# Builds the documents as a book, target/site/index.html, and checks that every link in it leads
# somewhere. Installs mdbook into the target folder the first time. Changes nothing in docs/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=0.5.4
target=${CARGO_TARGET_DIR:-target}
mdbook=$target/mdbook/bin/mdbook
repository=$(sed -nE 's/^git-repository-url = "(.*)"/\1/p' docs/book.toml)

if [[ $("$mdbook" --version 2>/dev/null) != "mdbook v$version" ]]; then
  echo "site: building mdbook $version (once, about 2 minutes)" >&2
  # Neither its server nor its watcher, which are most of its dependencies.
  cargo install --quiet --locked --root "$target/mdbook" "mdbook@$version" --no-default-features --features search
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r docs "$work/docs"
# On GitHub a link may lead out of docs/; the book has nothing there.
find "$work/docs" -name '*.md' | while read -r page; do
  below=${page#"$work/docs/"}
  up=$(sed -E 's|[^/]+/|../|g; s|[^/]*$|../|' <<<"$below")
  sed -i.old "s|](${up//./\\.}|]($repository/blob/main/|g" "$page"
done
find "$work/docs" -name '*.old' -delete

rm -rf "$target/site"
"$mdbook" build "$work/docs" --dest-dir "$PWD/$target/site" >"$work/log" 2>&1 || {
  cat "$work/log" >&2
  exit 1
}
if grep -E ' (WARN|ERROR) ' "$work/log" >&2; then exit 1; fi
scripts/check-site.py "$target/site"
