-- How many tokens an answer says it took, for the audit log: read as the answer goes by, which
-- nothing waits for.
-- Must not change an answer.

local usage = {}
do
  -- How much of an answer's end is looked at, in bytes: that is where it says it.
  local END = 16384

  -- Members of `usage` that are logged, and how each is written.
  local COUNTS = { "input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens" }
  local WRITTEN = {}
  for i = 1, #COUNTS do
    WRITTEN[i] = '"' .. COUNTS[i] .. '"'
  end

  -- Takes the numbers of the last object of usage in a text that begins at `at`; later ones of
  -- a stream count on from earlier ones. A quote within a string is escaped, so that these bytes
  -- are never content.
  local function take(into, text)
    local at, last = 1, nil
    while true do
      local _, stop = text:find('"usage"', at, true)
      if not stop then
        break
      end
      if text:find("^%s*:%s*{", stop + 1) then
        last = stop
      end
      at = stop + 1
    end
    for i = 1, last and #COUNTS or 0 do
      local _, stop = text:find(WRITTEN[i], last, true)
      local count = stop and text:match("^%s*:%s*(%d+)", stop + 1)
      if count then
        into = into or {}
        into[COUNTS[i]] = tonumber(count)
      end
    end
    return into
  end

  -- Reads a stream of events, or one answer. `chunks` is an iterator of Envoy's buffers. Nil when
  -- nothing is said.
  function usage.of(streams, chunks)
    local found, kept = nil, ""
    for chunk in chunks do
      local size = chunk:length()
      if size > 0 then
        local from = streams and 0 or math.max(0, size - END)
        local text = chunk:getBytes(from, size - from)
        text = kept == "" and text or kept .. text
        if not streams then
          kept = text:sub(-END)
        elseif text:byte(-1) == 10 then
          found, kept = take(found, text), ""
        else
          -- An event may come in pieces: what is after the last line break waits.
          local rest = text:match(".*\n()") or 1
          found, kept = take(found, text:sub(1, rest - 1)), text:sub(rest):sub(-END)
        end
      end
    end
    if not streams then
      found = take(found, kept)
    end
    return found
  end

  -- What waits between chunks is nothing that a compiler of loops makes quicker.
  require("jit").off(usage.of)
end
