-- The second filter: what is asked, and whether it may be. Only here a request gets its key,
-- and only with one does the guard after it let it on.
-- Must not look up who calls.

local MESSAGES, COUNT_TOKENS = "/v1/messages", "/v1/messages/count_tokens"

-- The present keys by id, of one generation of the files: their bytes and fingerprints.
local keys, keys_of = {}, nil

local function key_of(present, id)
  local row = present.policy.keys[id]
  if not row or not row.usable then
    return nil
  end
  if keys_of ~= present.generation then
    keys, keys_of = {}, present.generation
  end
  local found = keys[id]
  if not found then
    local bytes = policy.key(present.generation, id)
    if not bytes then
      if files.generation() ~= present.generation then
        return key_of(policy.present("later"), id)
      end
      return nil
    end
    found = { bytes = bytes, fingerprint = sha256(bytes):sub(1, 16) }
    keys[id] = found
  end
  return found, row
end

-- Roles and bindings of what is open to callers, by its text: most have the same few.
local grants, grants_count, MOST_GRANTS = {}, 0, 1000

local function grants_of(open)
  local found = grants[open]
  if not found then
    if grants_count >= MOST_GRANTS then
      grants, grants_count = {}, 0
    end
    found = {}
    for role, binding in open:gmatch("(%S+) (%S+)") do
      found[#found + 1] = { role = role, binding = binding }
    end
    grants[open], grants_count = found, grants_count + 1
  end
  return found
end

-- The most generous of the roles that open a model; else why none does.
local function opens(present, open, model)
  if not policy.allows(present.policy.models, model) then
    return nil, "Workspace does not allow model: " .. model
  end
  local best, of
  local all = grants_of(open)
  for i = 1, #all do
    local role, binding = present.policy.roles[all[i].role], all[i].binding
    if role and role.models and policy.allows(role.models, model) then
      if not best or role.max_tokens > best.max_tokens or (role.max_tokens == best.max_tokens and binding < of) then
        best, of = role, binding
      end
    end
  end
  if not best then
    return nil, "Role cannot access model: " .. model
  end
  return best, of
end

local function in_order(one, other)
  if one.field ~= other.field then
    return one.field < other.field
  elseif one.model ~= other.model then
    return not one.model or (other.model ~= nil and one.model < other.model)
  end
  -- Nothing comes before itself: what sorts compares an item with itself, too.
  return one.max_tokens ~= other.max_tokens
    and (not one.max_tokens or (other.max_tokens ~= nil and one.max_tokens < other.max_tokens))
end

-- Why something deeper in the body may not be asked for; nil when all of it may.
local function forbidden(present, open, found, granted, counts)
  local nested = {}
  for _, one in pairs(found.nested) do
    nested[#nested + 1] = one
  end
  table.sort(nested, in_order)
  for i = 1, #nested do
    local role, reason = opens(present, open, nested[i].model or found.model)
    if not role then
      return reason
    elseif counts and (nested[i].max_tokens or granted) > role.max_tokens then
      return "Request field not allowed: " .. nested[i].field
    end
  end
  return nil
end

-- The groups that the first filter passed on, by id and name.
local function groups_of(headers)
  local found = {}
  for id, name in (headers:get("x-anthropic-rbac-groups") or ""):gmatch("(%x+)(group:[^\t]*)") do
    found[#found + 1] = { id = id, name = name }
  end
  return found
end

-- Where the caller stands: its key's id and the roles that are open to it, as the first filter
-- found them; else why nowhere. A body may be long in coming: what has changed since is looked up
-- again, so that nobody is let in by what no longer holds, nor refused for half of a change; the
-- last that is returned says whether.
local function stands(headers, present, audit)
  local text = headers:get("x-anthropic-rbac-standing") or ""
  local first = text:find("\t", 1, true)
  local second = first and text:find("\t", first + 1, true)
  local third = second and text:find("\t", second + 1, true)
  if not third then
    return nil
  end
  local generation, key, open = text:sub(1, first - 1), text:sub(first + 1, second - 1), text:sub(second + 1, third - 1)
  local fourth = text:find("\t", third + 1, true)
  audit.subject = text:sub(third + 1, (fourth or 0) - 1)
  local used = {}
  if fourth then
    for group in text:sub(fourth + 1):gmatch("[^\t]+") do
      used[#used + 1] = group
    end
  end
  local reason
  local changed = generation ~= present.generation
  if changed then
    local who = { id = headers:get("x-anthropic-rbac-subject"), groups = groups_of(headers) }
    local found
    found, reason, used = standing.of(present, who)
    key, open = found and found.key or "-", found and found.open
  end
  audit.groups = next(used) and used or nil
  return key, open, reason, changed
end

-- What the audit log says of every request. All that may be said later has its place from the
-- beginning: a table that grows by one is made anew each time.
local function audit_of(present)
  return {
    workspace = present.policy.workspace,
    policyRevision = present.policy.revision,
    subject = nil,
    groups = nil,
    model = nil,
    maxTokensRequested = nil,
    role = nil,
    binding = nil,
    apiKeyRef = nil,
    fingerprint = nil,
    maxTokens = nil,
    decision = nil,
    reason = nil,
  }
end

local function decide(handle)
  -- This waits for the whole body: what was taken from the handle before is gone after it.
  local body = handle:body(true)
  local start, length = bytes.of(body)

  local headers = handle:headers()
  local present, audit, key_id, open, nowhere
  for _ = 1, 8 do
    present = policy.present("later")
    if not present.policy then
      return answer.refuse(handle, 503, "No policy is loaded", {})
    end
    audit = audit_of(present)
    local again
    key_id, open, nowhere, again = stands(headers, present, audit)
    -- What was swapped away while it was read is looked up again.
    if not again or files.generation() == present.generation then
      break
    end
  end
  if not key_id then
    return answer.refuse(handle, 500, "The gateway failed to decide", audit)
  elseif not open then
    return answer.refuse(handle, 403, nowhere, audit)
  end
  local path = headers:get(":path")
  local query = path:find("?", 1, true)
  path = query and path:sub(1, query - 1) or path
  local counts = path == MESSAGES
  if not counts and path ~= COUNT_TOKENS then
    return answer.refuse(handle, 404, "Not found", audit)
  end
  local encoded = headers:get("content-encoding")
  if encoded and encoded ~= "identity" then
    return answer.refuse(handle, 400, "Request body must be a JSON object", audit)
  end
  local found, status, why = asked.read(start, length, counts)
  if not found then
    return answer.refuse(handle, status, why, audit)
  end
  audit.model, audit.maxTokensRequested = found.model, found.max_tokens
  local role, binding = opens(present, open, found.model)
  if not role then
    return answer.refuse(handle, 403, binding, audit)
  end
  audit.role, audit.binding = role.name, binding
  local key, row = key_of(present, key_id)
  if not key then
    return answer.refuse(handle, 403, "No API key is mapped for this subject", audit)
  end
  audit.apiKeyRef, audit.fingerprint = row.ref, key.fingerprint
  local granted = math.min(found.max_tokens or present.policy.default_max_tokens, role.max_tokens)
  local reason = found.nested and forbidden(present, open, found, granted, counts)
  if reason then
    return answer.refuse(handle, 403, reason, audit)
  end

  if counts then
    audit.maxTokens = granted
    if granted ~= found.max_tokens then
      local first, past, text = found.first, found.past, string.format("%d", granted)
      if not first then
        first, past, text = found.open, found.open, '"max_tokens":' .. text .. ","
      end
      -- This sets content-length, too, where there is one.
      body:setBytes(bytes.replaced(start, length, first, past, text))
    end
  end
  -- All that a client sent of these goes.
  headers:remove("x-api-key")
  headers:add("x-api-key", key.bytes)
  if row.organization then
    headers:add("anthropic-workspace-id", present.policy.workspace_id)
  end
  audit.decision = "Allow"
  answer.log(handle, audit)
  headers:replace("x-anthropic-rbac-decision", "Allow")
  bytes.free()
end

function envoy_on_request(handle)
  answer.run(handle, decide)
end

function envoy_on_response(handle)
  local kind = handle:headers():get("content-type") or ""
  local streams = kind:find("text/event-stream", 1, true) ~= nil
  if not streams and not kind:find("json", 1, true) then
    return
  end
  -- An error in here ends the reading, not the answer.
  local found = usage.of(streams, handle:bodyChunks())
  if found then
    handle:streamInfo():dynamicMetadata():set("anthropic-rbac", "usage", found)
  end
end
