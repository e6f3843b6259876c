-- The first filter: who calls, and where it stands. What it finds goes on in headers that no
-- client can send, since Envoy takes them off before anything else, and that never go upstream.
-- Must not read the body.

local function identify(handle)
  local present = policy.present("rows")
  local known = present.policy
  if not known then
    return answer.refuse(handle, 503, "No policy is loaded", {})
  end
  local headers = handle:headers()
  local who = caller.of(headers, handle:streamInfo():dynamicMetadata(), present)
  if not who then
    local audit = { workspace = known.workspace, policyRevision = known.revision }
    return answer.refuse(handle, 401, "No valid credential for this workspace", audit)
  end
  local stands, reason, groups = standing.of(present, who)
  local audit = { workspace = known.workspace, policyRevision = known.revision, subject = who.name }
  audit.groups = next(groups) and groups or nil
  if not stands then
    return answer.refuse(handle, 403, reason, audit)
  end
  -- What the log says if nobody says more: Envoy itself refuses what is too much or too large.
  audit.decision = "Deny"
  -- When the next request of a subject over its rate may pass, in seconds.
  audit.retryAfter = math.ceil(60 / stands.rate)
  answer.log(handle, audit)
  headers:replace("x-anthropic-rbac-subject", who.id)
  headers:replace("x-anthropic-rbac-rate", tostring(stands.rate))
  -- Names have no control characters. What holds for a time is looked up again once the body is
  -- there, as if of another generation.
  local generation = stands.timed and "-" or present.generation
  stands.line = stands.line or table.concat({ generation, stands.key or "-", stands.open }, "\t")
  local line = stands.line .. "\t" .. who.name
  if audit.groups then
    line = line .. "\t" .. table.concat(groups, "\t")
  end
  headers:replace("x-anthropic-rbac-standing", line)
  if who.groups and #who.groups > 0 then
    local all = {}
    for i, group in ipairs(who.groups) do
      all[i] = group.id .. group.name
    end
    headers:replace("x-anthropic-rbac-groups", table.concat(all, "\t"))
  end
end

function envoy_on_request(handle)
  answer.run(handle, identify)
end
