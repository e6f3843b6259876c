-- How many tokens an answer says it took, for the audit log: read as the answer goes by, which
-- nothing waits for.
-- Must not change an answer.

local usage = {}
do
  -- Longest answer that is put together to be read, in bytes; of a longer one nothing is said.
  local MOST = 4194304

  -- Members of `usage` that are logged.
  local COUNTS = { "input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens" }

  -- Takes the numbers of an object of usage; later ones of a stream count on from earlier ones.
  local function take(into, text)
    for i = 1, #COUNTS do
      local name = COUNTS[i]
      local count = text:match('"' .. name .. '"%s*:%s*(%d+)')
      if count then
        into[name] = tonumber(count)
      end
    end
  end

  -- A quote within a string is escaped, so that these bytes are never content.
  local function last_usage(text)
    local at, found = 1, nil
    while true do
      local start, stop = text:find('"usage"%s*:%s*{', at)
      if not start then
        return found
      end
      found, at = text:sub(stop), stop + 1
    end
  end

  -- Reads a stream of events, or one answer. `chunks` is an iterator of Envoy's buffers.
  function usage.of(streams, chunks)
    local found, kept, length = {}, {}, 0
    for chunk in chunks do
      local size = chunk:length()
      local text = size > 0 and chunk:getBytes(0, size) or ""
      if streams then
        -- An event may come in pieces: what is after the last line break waits.
        kept[#kept + 1] = text
        if text:find("\n", 1, true) then
          local all = table.concat(kept)
          local whole, rest = all:match("^(.*\n)([^\n]*)$")
          kept = { rest }
          for line in whole:gmatch('[^\n]*"usage"[^\n]*') do
            take(found, last_usage(line) or "")
          end
        end
      elseif length <= MOST then
        kept[#kept + 1], length = text, length + size
      end
    end
    if not streams and length <= MOST then
      take(found, last_usage(table.concat(kept)) or "")
    end
    return next(found) and found or nil
  end
end
