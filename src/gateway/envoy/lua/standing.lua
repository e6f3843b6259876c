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

  -- Calls `each` with role and binding of every grant in a row that holds at a time.
  local function grants(row, at, each)
    for role, from, to, binding in row:gmatch("\t(%x+) (%S+) (%S+) (%S+)") do
      if (from == "-" or at >= tonumber(from)) and (to == "-" or at < tonumber(to)) then
        each(role, binding)
      end
    end
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
      local key = rows[i]:match("^(%x+)")
      if key then
        if not keys[key] then
          return nil
        end
        lowest = (not lowest or keys[key].ref < keys[lowest].ref) and key or lowest
      end
    end
    return lowest or (keys[present.policy.default_key] and present.policy.default_key)
  end

  -- What a caller may do: `open`, pairs of role id and binding with a blank between; the `rate`
  -- over all models; the `key` to send its requests with. Else nil and why not. And the names of
  -- its groups that the policy knows.
  function standing.of(present, who)
    local known = present.policy
    if not known.enabled then
      return nil, "Workspace is disabled", {}
    end
    local groups = who.groups or {}
    local blocked = known.blocked[who.id]
    for i = 1, #groups do
      blocked = blocked or known.blocked[groups[i].id]
    end
    if blocked then
      return nil, "Subject is blocked", {}
    end

    local at = now()
    local has_role, open, rate = false, {}, 0
    local function take(role, binding)
      local found = known.roles[role]
      has_role = has_role or found ~= nil
      if found and found.models then
        open[#open + 1] = role .. " " .. binding
        rate = math.max(rate, found.requests_per_minute)
      end
    end
    local own = who.row or policy.subject(present, who.id)
    if own then
      grants(own, at, take)
    end
    local rows, used = {}, {}
    for i = 1, #groups do
      local row = policy.subject(present, groups[i].id)
      if row then
        rows[#rows + 1] = row
        used[#used + 1] = groups[i].name
        grants(row, at, take)
      end
    end
    if not has_role then
      return nil, "Subject has no role in this workspace", used
    elseif #open == 0 then
      return nil, "Role does not allow API access", used
    end
    return {
      open = table.concat(open, " "),
      rate = rate,
      key = key_of(present, own and own:match("^%S+") or "-", rows),
    },
      nil,
      used
  end
end
