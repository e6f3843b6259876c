-- Who calls: from the headers of a request, and the claims that jwt_authn verified, to ids of
-- subjects. What is shown is looked up only as the kind that it can be: a token begins with `ey`
-- and a client key never does.
-- Must not decide what the caller may do.

local caller = {}
do
  -- Groups of one caller that count: those with the bytewise lowest names.
  local MAX_GROUPS = 64
  -- Longest client key, in characters, and shortest.
  local MAX_CLIENT_KEY, MIN_CLIENT_KEY = 256, 32

  local function id(text)
    return sha256(text, 32)
  end

  -- What a value of `authorization` shows; nil when it is of another scheme.
  local function bearer(value)
    local scheme, rest = value:match("^(%a%a%a%a%a%a) (.*)$")
    return scheme and scheme:lower() == "bearer" and rest:match("^[ \t]*(.-)[ \t]*$") or nil
  end

  -- The one credential of a request; nil when there is none, when several differ, and when
  -- one is of another scheme.
  local function credential(headers)
    local only
    for i = 0, headers:getNumValues("x-api-key") - 1 do
      local shown = headers:getAtIndex("x-api-key", i)
      if only and only ~= shown then
        return nil
      end
      only = shown
    end
    for i = 0, headers:getNumValues("authorization") - 1 do
      local shown = bearer(headers:getAtIndex("authorization", i))
      if not shown or (only and only ~= shown) then
        return nil
      end
      only = shown
    end
    return only
  end

  -- Whether any of the texts of a claim, one text or a list, passes.
  local function any_text(claim, passes)
    if type(claim) == "string" then
      return passes(claim)
    end
    for place, text in pairs(type(claim) == "table" and claim or {}) do
      if type(place) == "number" and type(text) == "string" and passes(text) then
        return true
      end
    end
    return false
  end

  -- The groups of a user that count, by id, with their names.
  local function groups(issuer, claim)
    local names, seen = {}, {}
    any_text(claim, function(name)
      if not seen[name] then
        seen[name] = true
        names[#names + 1] = name
      end
      return false
    end)
    table.sort(names)
    local found = {}
    for i = 1, math.min(#names, MAX_GROUPS) do
      local name = names[i]
      -- What is no name is in no policy, and a tab in it would make two groups of it on the way.
      if is_name(name) then
        found[#found + 1] =
          { id = id("group\n" .. issuer.name .. "\n" .. name), name = "group:" .. issuer.name .. ":" .. name }
      end
    end
    return found
  end

  local function base64url(text)
    local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    local bits, count, out = 0, 0, {}
    for character in text:gmatch("[%w%-_]") do
      bits = bits * 64 + alphabet:find(character, 1, true) - 1
      count = count + 6
      if count >= 8 then
        count = count - 8
        local unit = 2 ^ count
        out[#out + 1] = string.char(math.floor(bits / unit))
        bits = bits % unit
      end
    end
    return table.concat(out)
  end

  -- Who the claims of an issuer's verified token name; nil when nobody, and when the token is
  -- meant for others.
  local function identify(issuer, claims, token)
    local function is_audience(text)
      return issuer.audiences[text] == true
    end
    if issuer.url ~= "" and claims.iss ~= issuer.url or not any_text(claims.aud, is_audience) then
      return nil
    end
    if issuer.kubernetes then
      local namespace, name = tostring(claims.sub):match("^system:serviceaccount:([^:\n]+):([^:\n]+)$")
      return namespace
        and {
          id = id("serviceaccount\n" .. namespace .. "\n" .. name),
          name = "serviceaccount:" .. namespace .. "/" .. name,
        }
    end
    if issuer.user_claim == "email" and claims.email_verified ~= true then
      -- A claim of null is not among the claims, and yet it is there.
      local payload = base64url(token:match("^[^.]*%.([^.]*)%.") or "")
      if claims.email_verified ~= nil or payload:find("email_verified", 1, true) or payload:find("\\", 1, true) then
        return nil
      end
    end
    local name = claims[issuer.user_claim]
    return is_name(name)
      and {
        id = id("user\n" .. issuer.name .. "\n" .. name),
        name = "user:" .. issuer.name .. ":" .. name,
        groups = issuer.groups_claim ~= "" and groups(issuer, claims[issuer.groups_claim]) or nil,
      }
  end

  -- The caller of a request: `id`, `name` for people, `groups` by id and name, and its `row`
  -- where that is known already; nil for none.
  -- `metadata` has the claims of each issuer whose signature jwt_authn found to hold.
  function caller.of(headers, metadata, present)
    local shown = credential(headers)
    if not shown then
      return nil
    end
    if shown:sub(1, 2) == "ey" then
      if not shown:find("^[%w%-_]+%.[%w%-_]+%.[%w%-_]+$") then
        return nil
      end
      for name, claims in pairs(metadata:get("envoy.filters.http.jwt_authn") or {}) do
        local issuer = present.policy.issuers[name]
        local found = issuer and identify(issuer, claims, shown)
        if found then
          return found
        end
      end
      return nil
    end
    if #shown < MIN_CLIENT_KEY or #shown > MAX_CLIENT_KEY then
      return nil
    end
    local digest = sha256(shown)
    local own = id("clientkey\n" .. digest)
    local row = policy.subject(present, own)
    if not row and not present.policy.blocked[own] then
      return nil
    end
    return { id = own, name = "clientkey:sha256:" .. digest:sub(1, 16), row = row }
  end
end
