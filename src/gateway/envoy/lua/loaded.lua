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

-- The files that Envoy itself reads, and what its statistics call the version it has taken.
local NATIVE = {
  { "clusters.json", "cluster_manager.cds.version_text" },
  { "jwt.json", "extension_config_discovery.http_filter.jwt.version_text" },
  { "ratelimit.json", "extension_config_discovery.http_filter.ratelimit.version_text" },
}

-- The version of each of those files that Envoy has taken, by the name of the file. This waits for
-- an answer.
local function taken(handle)
  local _, stats = handle:httpCall(
    "admin",
    { [":method"] = "GET", [":path"] = "/stats?filter=version_text", [":authority"] = "admin" },
    "",
    2000
  )
  local versions = {}
  for i = 1, #NATIVE do
    local name, stat = NATIVE[i][1], NATIVE[i][2]
    versions[name] = (stats or ""):match(stat:gsub("%.", "%%.") .. ': "(%x+)"')
  end
  return versions
end

-- The version that a file says of itself, as it lies there now; nil when it is not whole.
local function lying(generation, name)
  local text = files.read(generation, name) or ""
  return text:sub(-3) == "]}\n" and text:match('^{"version_info":"(%x+)","resources":%[')
end

-- What is the matter with the API keys that the policy uses. Which they are is nobody's business.
local function keyless(present)
  local all, missing = 0, 0
  for id, key in pairs(present.policy.keys) do
    if key.usable then
      all = all + 1
      missing = missing + (policy.key(present.generation, id) and 0 or 1)
    end
  end
  return missing > 0 and string.format("%d of %d API keys: not there, or not whole", missing, all) or nil
end

local function loaded(present, versions)
  local known, in_force = present.policy, {}
  for name, version in pairs(versions) do
    -- What lies there and was not taken would not be there after a restart.
    if version == lying(present.generation, name) then
      in_force[#in_force + 1] = quoted(name) .. ":" .. quoted(version)
    end
  end
  table.sort(in_force)
  local problem = present.problem or known and keyless(present)
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
    ']},"files":{',
    table.concat(in_force, ","),
    '},"error":',
    problem and quoted(problem) or "null",
    "}\n",
  })
end

function envoy_on_request(handle)
  local path = handle:headers():get(":path")
  if path ~= "/ready" and path ~= "/loaded" then
    return
  end
  local present, versions = policy.present("heads"), taken(handle)
  local whole = present.policy ~= nil
  for i = 1, #NATIVE do
    whole = whole and versions[NATIVE[i][1]] ~= nil
  end
  if path == "/loaded" then
    handle:respond({ [":status"] = "200", ["content-type"] = "application/json" }, loaded(present, versions))
  elseif whole then
    -- What is older than it should be still decides: taking every pod away would help nobody.
    handle:respond({ [":status"] = "200" }, "ready\n")
  else
    handle:respond({ [":status"] = "503" }, "no policy is loaded\n")
  end
end
