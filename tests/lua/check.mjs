// Holds the gateways' Lua to one format and to names that exist: `--write` formats.
// Usage: node check.mjs MODULES [--write] FILE...
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(join(resolve(process.argv[2]), "check.mjs"));
const luaparse = require("luaparse");
// The formatter is a WebAssembly module, which Node loads by itself only since 22.
const home = dirname(require.resolve("@johnnymorganz/stylua/package.json"));
const stylua = await import(pathToFileURL(join(home, "stylua_lib_bg.js")));
const wasm = readFileSync(join(home, "stylua_lib_bg.wasm"));
const { instance } = await WebAssembly.instantiate(wasm, { "./stylua_lib_bg.js": stylua });
stylua.__wbg_set_wasm(instance.exports);

// What LuaJIT has, and what the parts of a chunk have of each other.
const KNOWN = new Set(
  "assert collectgarbage ipairs math next pairs pcall require setmetatable string table tonumber tostring type unpack".split(" "),
);
const PARTS = new Set("answer asked bit bytes caller ffi files is_name policy sha256 standing usage".split(" "));
// What Envoy calls.
const ENTRIES = new Set(["envoy_on_request", "envoy_on_response"]);

const write = process.argv[3] === "--write";
const files = process.argv.slice(write ? 4 : 3);
function format(text) {
  // Each call takes its configuration away.
  const config = stylua.Config.new();
  config.column_width = 120;
  config.indent_type = stylua.IndentType.Spaces;
  config.indent_width = 2;
  return stylua.formatCode(text, config, undefined, stylua.OutputVerification.Full);
}

let wrong = 0;
const fail = (file, text) => {
  wrong += 1;
  console.error(`${file}: ${text}`);
};
for (const file of files) {
  const text = readFileSync(file, "utf8");
  const formatted = format(text);
  if (write && formatted !== text) writeFileSync(file, formatted);
  else if (formatted !== text) fail(file, "is not formatted: run 'make lua'");
  const parsed = luaparse.parse(text, { luaVersion: "LuaJIT", scope: true, locations: true });
  const own = basename(file, ".lua").replace("name", "is_name");
  for (const global of parsed.globals) {
    const { name } = global;
    if (!KNOWN.has(name) && !ENTRIES.has(name) && (!PARTS.has(name) || name === own)) {
      fail(`${file}:${global.loc.start.line}`, `'${name}' is declared nowhere`);
    }
  }
}
if (files.length === 0) fail("check.mjs", "no files given");
console.log(`lua: ${files.length} files, ${wrong} wrong`);
process.exit(wrong ? 1 : 0);
