-- How a filter answers a request itself, and what the audit log says of it.
-- Must not decide.

local answer = {}
do
  -- The whole of what the audit log says of a decision.
  function answer.log(handle, audit)
    handle:streamInfo():dynamicMetadata():set("anthropic-rbac", "audit", audit)
  end

  -- Refuses a request. The text is plain: `local_reply_config` makes Anthropic's shape of an error
  -- of it.
  function answer.refuse(handle, status, reason, audit)
    audit.decision, audit.reason = "Deny", reason
    answer.log(handle, audit)
    handle:respond({ [":status"] = tostring(status) }, reason)
  end

  -- Runs a filter on a request. Envoy would let on what a filter failed at.
  function answer.run(handle, filter)
    local ok, problem = pcall(filter, handle)
    if not ok then
      handle:logErr(tostring(problem))
      answer.refuse(handle, 500, "The gateway failed to decide", {})
    end
  end
end
