-- What this Envoy has loaded, for the kubelet and the operator. A client's listener has no way
-- here, so that nobody else's word can stand for it.
-- Must not say anything of who may do what.

-- Which release of the static files this is; written in when they are rendered.
local CONFIG = "@CONFIG@"

local function quoted(text)
  local plain = text:gsub('[%c"\\]', function(character)
    return string.format("\\u%04x", character:byte())
  end)
  return '"' .. plain .. '"'
end

-- The shards whose rows are not those the policy was written with.
local function differing(present)
  local names = {}
  for i = 0, present.policy.shards - 1 do
    local rows = present.shards[i]
    if (rows and rows:match("^subjects\t[^\t\n]*\t([^\t\n]*)\n")) ~= present.policy.shard_ids[i + 1] then
      names[#names + 1] = quoted(string.format("subjects-%02d", i))
    end
  end
  return names
end

local function loaded(present)
  local known = present.policy
  return table.concat({
    '{"workspace":',
    known and quoted(known.workspace) or "null",
    ',"config":',
    quoted(CONFIG),
    ',"revision":',
    known and quoted(known.revision) or "null",
    ',"subjects":{"expected":',
    tostring(known and known.shards or 0),
    ',"differ":[',
    table.concat(known and differing(present) or {}, ","),
    ']},"error":',
    present.problem and quoted(present.problem) or "null",
    "}\n",
  })
end

function envoy_on_request(handle)
  local present = policy.present("heads")
  local path = handle:headers():get(":path")
  if path == "/ready" then
    handle:respond({ [":status"] = present.policy and "200" or "503" }, present.policy and "ready\n" or "no policy is loaded\n")
  elseif path == "/loaded" then
    handle:respond({ [":status"] = "200", ["content-type"] = "application/json" }, loaded(present))
  end
end
