-- Where a caller stands: its roles that hold now, how often it may ask, and its key.
-- Must not know what is asked.

local standing = {}
do
  ffi.cdef([[
    struct anthropic_rbac_time { long seconds; long microseconds; };
    int gettimeofday(struct anthropic_rbac_time *now, void *zone);
  ]])
  local clock = ffi.new("struct anthropic_rbac_time")

  -- Milliseconds since 1970.
  local function now()
    ffi.C.gettimeofday(clock, nil)
    return tonumber(clock.seconds) * 1000 + math.floor(tonumber(clock.microseconds) / 1000)
  end

  -- Rows as they were read last, by their text: most callers have the same few.
  local read, count = {}, 0
  local MOST = 1000

  -- The time of a grant; nil is none. What is no time raises an error: nothing is to last for it.
  local function time(text)
    return text ~= "-" and assert(tonumber(text)) or nil
  end

  -- A subject's row: its key's id or `-`, and its grants.
  local function row_of(text)
    local found = read[text]
    if found then
      return found
    end
    if count >= MOST then
      read, count = {}, 0
    end
    found = { key = text:match("^%S+") }
    for role, from, to, binding in text:gmatch("\t(%x+) (%S+) (%S+) (%S+)") do
      local grant = { role = role, binding = binding, from = time(from), to = time(to) }
      found[#found + 1] = grant
      found.timed = found.timed or grant.from ~= nil or grant.to ~= nil
    end
    read[text], count = found, count + 1
    return found
  end

  -- The key that a caller's requests go out with, whatever its state; nil is none. What names
  -- a key that is not there names no other.
  local function key_of(present, own, rows)
    local keys = present.policy.keys
    if own ~= "-" then
      return keys[own] and own
    end
    local lowest
    for i = 1, #rows do
      local key = rows[i].key
      if key ~= "-" then
        if not keys[key] then
          return nil
        end
        lowest = (not lowest or keys[key].ref < keys[lowest].ref) and key or lowest
      end
    end
    return lowest or (keys[present.policy.default_key] and present.policy.default_key)
  end

  -- What a caller with these rows may do at a time; else nil and why not.
  local function decided(present, own, rows)
    local roles = present.policy.roles
    local at, has_role, rate, open = nil, false, 0, {}
    for i = own and 0 or 1, #rows do
      local row = i == 0 and own or rows[i]
      at = at or row.timed and now()
      for j = 1, #row do
        local grant = row[j]
        if (not grant.from or at >= grant.from) and (not grant.to or at < grant.to) then
          local role = roles[grant.role]
          has_role = has_role or role ~= nil
          if role and role.models then
            open[#open + 1] = grant.role .. " " .. grant.binding
            rate = math.max(rate, role.requests_per_minute)
          end
        end
      end
    end
    if not has_role then
      return nil, "Subject has no role in this workspace"
    elseif #open == 0 then
      return nil, "Role does not allow API access"
    end
    local key = key_of(present, own and own.key or "-", rows)
    return { open = table.concat(open, " "), rate = rate, key = key, timed = at }
  end

  local NONE = {}

  -- What a caller may do: `open`, pairs of role id and binding with a blank between; the `rate`
  -- over all models; the `key` to send its requests with; whether it is `timed`. Else nil and why
  -- not. And the names of its groups that the policy knows.
  function standing.of(present, who)
    local known = present.policy
    if not known.enabled then
      return nil, "Workspace is disabled", NONE
    end
    local groups = who.groups or NONE
    local blocked = known.blocked[who.id]
    for i = 1, #groups do
      blocked = blocked or known.blocked[groups[i].id]
    end
    if blocked then
      return nil, "Subject is blocked", NONE
    end

    local text = who.row or policy.subject(present, who.id)
    local own = text and row_of(text)
    -- Whoever is in no group and has no times stands where the one before with such a row stood.
    if #groups == 0 and own and not own.timed then
      if own.generation ~= present.generation then
        own.stands, own.reason = decided(present, own, NONE)
        own.generation = present.generation
      end
      return own.stands, own.reason, NONE
    end
    local rows, used = {}, {}
    for i = 1, #groups do
      local row = policy.subject(present, groups[i].id)
      if row then
        rows[#rows + 1] = row_of(row)
        used[#used + 1] = groups[i].name
      end
    end
    local stands, reason = decided(present, own, rows)
    return stands, reason, used
  end
end
