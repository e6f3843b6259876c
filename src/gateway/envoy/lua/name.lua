-- Names as the policy model takes them.
-- Must not know where a name came from.

-- Longest name of a subject or model, in bytes.
local MAX_NAME = 256

-- Whether a text can be a name: not empty, not too long, no control characters.
local function is_name(text)
  return type(text) == "string"
    and #text > 0
    and #text <= MAX_NAME
    and not text:find("[%z\1-\31\127]")
    and not text:find("\194[\128-\159]")
end
