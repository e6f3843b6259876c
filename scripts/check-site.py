#!/usr/bin/env python3
"""Checks that every relative link of a built site leads to a file, and to an anchor that is there."""

import pathlib
import sys
import urllib.parse
from html.parser import HTMLParser


class Page(HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.ids, self.links = set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id":
                self.ids.add(value)
            elif name in ("href", "src") and value:
                self.links.append(value)


site = pathlib.Path(sys.argv[1]).resolve()
pages = {path: Page(path) for path in site.rglob("*.html")}
wrong = []
links = 0
for path, page in pages.items():
    # What it shows in the place of a page that is not there, and a frame for those without scripts.
    if path.name in ("404.html", "toc.html"):
        continue
    for link in page.links:
        url = urllib.parse.urlsplit(link)
        if url.scheme or url.netloc:
            continue
        links += 1
        target = (path.parent / urllib.parse.unquote(url.path)).resolve() if url.path else path
        anchor = urllib.parse.unquote(url.fragment)
        if not target.is_file():
            wrong.append(f"{path.relative_to(site)}: {link} leads nowhere")
        elif anchor and target in pages and anchor not in pages[target].ids:
            wrong.append(f"{path.relative_to(site)}: {link} names no anchor")
for line in wrong:
    print(f"check-site: {line}", file=sys.stderr)
print(f"site: {len(pages)} pages, {links} links, {len(wrong)} broken: {site}/index.html")
sys.exit(1 if wrong or links < 100 else 0)
