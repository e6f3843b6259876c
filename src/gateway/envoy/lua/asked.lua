-- What the body of a request asks for, read in one pass over its bytes: its model, its
-- `max_tokens`, and every other model and number of tokens in it, but for what is content.
-- Every byte is held to JSON's grammar and to UTF-8, so that no two readers can see different
-- members. The rules are those of the policy model's `body` and `json`, and tests hold both to
-- the same outcomes.
-- Must not know who asks, nor what they may.

local asked = {}
do
  local band, bor, lshift, rshift, tobit = bit.band, bit.bor, bit.lshift, bit.rshift, bit.tobit
  local MAX_DEPTH, MAX_VALUES, MAX_NESTED = 512, 250000, 128
  -- Longest way to write a name, in bytes; more than all of them by number.
  local MAX_WRITTEN = 2048
  -- What a number of tokens of more digits counts as; no cap is as large.
  local MAX_DIGITS, MOST_TOKENS = 19, 2 ^ 64

  local BODY = "Request body must be a JSON object"
  local MODEL = "model must be a string of 1 to 256 bytes without control characters"
  local TOKENS = "max_tokens must be a positive integer"
  local REPEATED = "Request field is repeated: "
  local FIELD = "Request field not allowed: "

  -- Bytes that are nothing but characters of a string are 0.
  local class = ffi.new("uint8_t[256]")
  for byte = 0, 255 do
    class[byte] = (byte >= 128 or byte < 32 or byte == 34 or byte == 92) and 1 or 0
  end
  local hex = ffi.new("uint8_t[256]")
  for character in ("0123456789abcdefABCDEF"):gmatch(".") do
    hex[character:byte()] = 1
  end

  -- What is open within a string, and what a byte makes of it: six bits a state in the row of the
  -- byte, so that the next state is one shift away and no byte costs more than another. WHOLE is
  -- between characters; REST_n is short of n bytes of UTF-8, of which A0, 9F, 90 and 8F bound the
  -- first; STOP is for a closing quote, for the `u` of an escape, and for what may not be.
  local WHOLE, ESCAPE, REST_1, REST_2, REST_2_A0, REST_2_9F, REST_3, REST_3_90, REST_3_8F, STOP =
    0, 6, 12, 18, 24, 30, 36, 42, 48, 54
  local rows = ffi.new("uint64_t[256]")
  local function on(state, from, to, next_state)
    for byte = from, to do
      local others = band(rows[byte], bit.bnot(lshift(63ULL, state)))
      rows[byte] = bor(others, lshift(ffi.cast("uint64_t", next_state), state))
    end
  end
  for state = WHOLE, STOP, 6 do
    on(state, 0, 255, STOP)
  end
  on(WHOLE, 32, 127, WHOLE)
  on(WHOLE, 34, 34, STOP)
  on(WHOLE, 92, 92, ESCAPE)
  for escaped in ('"\\/bfnrt'):gmatch(".") do
    on(ESCAPE, escaped:byte(), escaped:byte(), WHOLE)
  end
  on(WHOLE, 0xc2, 0xdf, REST_1)
  on(WHOLE, 0xe0, 0xe0, REST_2_A0)
  on(WHOLE, 0xe1, 0xef, REST_2)
  on(WHOLE, 0xed, 0xed, REST_2_9F)
  on(WHOLE, 0xf0, 0xf0, REST_3_90)
  on(WHOLE, 0xf1, 0xf3, REST_3)
  on(WHOLE, 0xf4, 0xf4, REST_3_8F)
  on(REST_1, 0x80, 0xbf, WHOLE)
  on(REST_2, 0x80, 0xbf, REST_1)
  on(REST_2_A0, 0xa0, 0xbf, REST_1)
  on(REST_2_9F, 0x80, 0x9f, REST_1)
  on(REST_3, 0x80, 0xbf, REST_2)
  on(REST_3_90, 0x90, 0xbf, REST_2)
  on(REST_3_8F, 0x80, 0x8f, REST_2)

  -- Whether no character of several bytes is open before the byte at `i` of a string that was
  -- followed up to there.
  local function is_whole(p, i)
    local first = i - 1
    while band(p[first], 0xc0) == 0x80 do
      first = first - 1
    end
    local byte = p[first]
    local wants = byte < 0x80 and 1 or byte < 0xe0 and 2 or byte < 0xf0 and 3 or 4
    return i - first == wants
  end

  -- The closing quote of the string whose first byte is at `i`; -1 when there is none. The byte
  -- after the last one of a body is a zero, which is no part of any string.
  local function string_end(p, i, length)
    local last = length - 4
    while true do
      while i <= last and bor(class[p[i]], class[p[i + 1]], class[p[i + 2]], class[p[i + 3]]) == 0 do
        i = i + 4
      end
      -- From the first byte on that is more than itself, all of them: this loop has one way only,
      -- and going to and fro between two costs more than it saves.
      local state = WHOLE
      repeat
        -- A plain number, as LuaJIT keeps in a register.
        state = band(tobit(rshift(rows[p[i]], state)), 63)
        i = i + 1
      until state == STOP
      local byte = p[i - 1]
      if not is_whole(p, i - 1) then
        return -1
      elseif byte == 34 then
        return i - 1
      elseif byte ~= 117 or hex[p[i]] == 0 or hex[p[i + 1]] == 0 or hex[p[i + 2]] == 0 or hex[p[i + 3]] == 0 then
        return -1
      end
      i = i + 4
    end
  end

  local function has_escape(p, first, past)
    for i = first, past - 1 do
      if p[i] == 92 then
        return true
      end
    end
    return false
  end

  -- The first byte from `i` on that is no blank.
  local function after_blanks(p, i)
    local byte = p[i]
    while byte == 32 or byte == 10 or byte == 13 or byte == 9 do
      i = i + 1
      byte = p[i]
    end
    return i
  end

  -- The first byte after the digits at `i`; -1 when there are none.
  local function digits_end(p, i)
    if p[i] < 48 or p[i] > 57 then
      return -1
    end
    while p[i] >= 48 and p[i] <= 57 do
      i = i + 1
    end
    return i
  end

  -- The first byte after the number at `i`; -1 when there is none.
  local function number_end(p, i)
    if p[i] == 45 then
      i = i + 1
    end
    -- A zero is a number by itself.
    i = p[i] == 48 and i + 1 or digits_end(p, i)
    if i > 0 and p[i] == 46 then
      i = digits_end(p, i + 1)
    end
    if i > 0 and (p[i] == 69 or p[i] == 101) then
      i = i + 1
      if p[i] == 43 or p[i] == 45 then
        i = i + 1
      end
      i = digits_end(p, i)
    end
    return i
  end

  local function utf8(code)
    if code < 0x80 then
      return string.char(code)
    elseif code < 0x800 then
      return string.char(0xc0 + math.floor(code / 0x40), 0x80 + code % 0x40)
    elseif code < 0x10000 then
      return string.char(0xe0 + math.floor(code / 0x1000), 0x80 + math.floor(code / 0x40) % 0x40, 0x80 + code % 0x40)
    end
    return string.char(
      0xf0 + math.floor(code / 0x40000),
      0x80 + math.floor(code / 0x1000) % 0x40,
      0x80 + math.floor(code / 0x40) % 0x40,
      0x80 + code % 0x40
    )
  end

  local PLAIN = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

  -- What stands between two quotes, escapes decoded; nil when half of a surrogate pair stands
  -- alone.
  local function decoded(raw)
    if not raw:find("\\", 1, true) then
      return raw
    end
    local parts, at = {}, 1
    while true do
      local escape = raw:find("\\", at, true)
      if not escape then
        parts[#parts + 1] = raw:sub(at)
        return table.concat(parts)
      end
      parts[#parts + 1] = raw:sub(at, escape - 1)
      local kind = raw:sub(escape + 1, escape + 1)
      at = escape + 2
      if kind == "u" then
        local code = tonumber(raw:sub(at, at + 3), 16)
        at = at + 4
        if code >= 0xdc00 and code < 0xe000 then
          return nil
        elseif code >= 0xd800 and code < 0xdc00 then
          local low = tonumber(raw:match("^\\u(%x%x%x%x)", at) or "0", 16)
          if low < 0xdc00 or low >= 0xe000 then
            return nil
          end
          code = 0x10000 + (code - 0xd800) * 0x400 + low - 0xdc00
          at = at + 6
        end
        parts[#parts + 1] = utf8(code)
      else
        parts[#parts + 1] = PLAIN[kind] or kind
      end
    end
  end

  -- Where something open stands.
  local TOP, TOOLS, TOOL, FALLBACKS, ELSEWHERE, CONTENT = 1, 2, 3, 4, 5, 6
  -- What the value to come is the value of, where it matters.
  local OTHER, TO_MODEL, TO_MAX_TOKENS, TO_TOOLS, TO_FALLBACKS, TO_TYPE, TO_CONTENT = 0, 1, 2, 3, 4, 5, 6

  local AT_TOP = {
    tools = TO_TOOLS,
    fallbacks = TO_FALLBACKS,
    messages = TO_CONTENT,
    system = TO_CONTENT,
    metadata = TO_CONTENT,
  }

  -- Longest name that matters, with a quote: `input_schema`.
  local LONGEST = 13

  local function member_of(place, name)
    if name == "model" then
      return TO_MODEL
    elseif name == "max_tokens" then
      return TO_MAX_TOKENS
    elseif place == TOP then
      return AT_TOP[name] or OTHER
    elseif place == TOOL then
      return name == "input_schema" and TO_CONTENT or (name == "type" and TO_TYPE or OTHER)
    end
    return OTHER
  end

  -- The place of an object or array that opens in another.
  local function inner(place, member, is_object)
    if place == CONTENT or member == TO_CONTENT then
      return CONTENT
    elseif place == TOP and member == TO_TOOLS and not is_object then
      return TOOLS
    elseif place == TOP and member == TO_FALLBACKS and not is_object then
      return FALLBACKS
    elseif place == TOOLS and is_object then
      return TOOL
    end
    return ELSEWHERE
  end

  -- By depth: whether an object is open, where it stands, and which member's value is next.
  local object = ffi.new("uint8_t[?]", MAX_DEPTH + 2)
  local place = ffi.new("uint8_t[?]", MAX_DEPTH + 2)
  local member = ffi.new("uint8_t[?]", MAX_DEPTH + 2)

  -- Whether a value at this member of this place is looked at; what begins with `byte`.
  local function matters(at, of)
    return at ~= CONTENT
      and (of == TO_MODEL or of == TO_MAX_TOKENS or of == TO_FALLBACKS or of == TO_TYPE or at == FALLBACKS)
  end

  -- Whether the bytes from `i` on are UTF-8 to the last.
  local function is_utf8(p, i, length)
    local state = WHOLE
    while i < length do
      -- What is no character of a string is one all the same where there is none.
      local byte = p[i]
      if byte >= 128 or state ~= WHOLE then
        state = band(tobit(rshift(rows[byte], state)), 63)
        if state == STOP then
          return false
        end
      end
      i = i + 1
    end
    return state == WHOLE
  end

  -- By depth, what the objects that are open ask for themselves; a number is 0 where there is none.
  local models = {}
  local tokens = ffi.new("double[?]", MAX_DEPTH + 2)
  local advisors = ffi.new("uint8_t[?]", MAX_DEPTH + 2)

  -- The body that is read, and its member at the top that is read now.
  local bytes_read, field_first, field_past

  -- A text of the body: from `first` to before `past`.
  local function between(first, past)
    return ffi.string(bytes_read + first, past - first)
  end

  -- Its name, read once however much is in it; none where it is no name that a message can have.
  local field_name
  local function field()
    if not field_name then
      local name = field_past - field_first <= MAX_WRITTEN and decoded(between(field_first, field_past))
      field_name = is_name(name) and name or ""
    end
    return field_name
  end

  -- Looks at the value at `i` that begins with `byte`; `stop` is its last byte where it is no
  -- container. Returns status and reason when it may not be.
  local function check(top, counts, depth, byte, i, stop)
    local at, of = place[depth], member[depth]
    if at == FALLBACKS and byte ~= 123 then
      return 403, FIELD .. field()
    elseif of == TO_FALLBACKS then
      if byte ~= 91 and byte ~= 110 then
        return 403, FIELD .. field()
      end
    elseif of == TO_MODEL then
      if models[depth] then
        return 400, REPEATED .. "model"
      end
      local name = byte == 34 and stop - i <= MAX_WRITTEN and decoded(between(i + 1, stop))
      if not name or not is_name(name) then
        return 400, MODEL
      end
      models[depth] = name
    elseif of == TO_MAX_TOKENS and counts then
      if tokens[depth] > 0 then
        return 400, REPEATED .. "max_tokens"
      end
      local digits = stop and between(i, stop + 1) or ""
      if not digits:find("^[1-9]%d*$") then
        return 400, TOKENS
      end
      tokens[depth] = #digits > MAX_DIGITS and MOST_TOKENS or tonumber(digits)
      if depth == 1 then
        top.first, top.past = i, stop + 1
      end
    elseif of == TO_TYPE and byte == 34 then
      -- What is no name, another reader may take for whatever it likes.
      local kind = stop - i <= MAX_WRITTEN and decoded(between(i + 1, stop))
      if not is_name(kind) or kind:sub(1, 7) == "advisor" then
        advisors[depth] = 1
      end
    end
  end

  -- Takes down what an object within the body asked for. Returns status and reason when it may
  -- not.
  local function close(top, counts, depth)
    local model, limit = models[depth] or nil, tokens[depth] > 0 and tokens[depth] or nil
    if counts and advisors[depth] == 1 and not limit then
      return 403, FIELD .. field()
    elseif not model and not limit then
      return
    end
    top.nested = top.nested or {}
    local name, nested = field(), top.nested
    local key = name .. "\0" .. (model or "") .. "\0" .. (limit or "")
    if not nested[key] then
      top.nested_count = (top.nested_count or 0) + 1
      if top.nested_count > MAX_NESTED then
        return 403, FIELD .. name
      end
      nested[key] = { field = name, model = model, max_tokens = limit }
    end
  end

  -- Reads the body whose bytes begin at `p`, with a zero after the last one; `counts` is false
  -- where nothing is put out, so that no number matters.
  -- Returns `{ model, max_tokens, first, past, open, nested }`, or nil, status and reason.
  -- From `first` to before `past` are the digits of `max_tokens`, `open` is the first byte in the
  -- body's brace; `nested` is nil where nothing else asks for anything.
  local function read(p, length, counts)
    local top = { model = nil, max_tokens = nil, first = nil, past = nil, open = nil, nested = nil }
    local depth, values, i = 0, 0, 0
    bytes_read, field_first, field_past, field_name = p, 0, 0, nil

    local expects_name, may_end = false, false
    while true do
      -- What is next: a name, a value, or the end of what is open just now.
      i = after_blanks(p, i)
      local byte = p[i]
      if may_end and (byte == 125 or byte == 93) then
        -- Nothing; it is closed below.
        may_end = false
      else
        may_end = false
        if expects_name then
          if byte ~= 34 then
            return nil, 400, BODY
          end
          local stop = string_end(p, i + 1, length)
          if stop < 0 then
            return nil, 400, BODY
          end
          if place[depth] ~= CONTENT then
            -- Only names that begin like one that matters, or are written with escapes.
            local first, size, of = p[i + 1], stop - i, OTHER
            if
              size <= LONGEST and (first == 109 or first == 116 or first == 102 or first == 115 or first == 105)
              or size <= 6 * LONGEST and has_escape(p, i + 1, stop)
            then
              of = member_of(place[depth], decoded(between(i + 1, stop)))
            end
            member[depth] = of
            if depth == 1 then
              field_first, field_past, field_name = i + 1, stop, nil
            end
          end
          i = stop + 1
          i = after_blanks(p, i)
          byte = p[i]
          if byte ~= 58 then
            return nil, 400, BODY
          end
          i = i + 1
          i = after_blanks(p, i)
          byte = p[i]
        end
        values = values + 1
        if values > MAX_VALUES then
          return nil, 400, BODY
        end
        local looked = depth > 0 and matters(place[depth], member[depth])
        if byte == 123 or byte == 91 then
          if depth == MAX_DEPTH or depth == 0 and byte == 91 then
            return nil, 400, BODY
          end
          if looked then
            local status, reason = check(top, counts, depth, byte, i, nil)
            if status then
              return nil, status, reason, i
            end
          end
          local is_object = byte == 123
          local stands = depth == 0 and TOP or inner(place[depth], member[depth], is_object)
          depth = depth + 1
          object[depth] = is_object and 1 or 0
          place[depth], member[depth] = stands, OTHER
          models[depth], tokens[depth], advisors[depth] = false, 0, 0
          if depth == 1 then
            top.open = i + 1
          end
          expects_name, may_end = is_object, true
          i = i + 1
          goto continue
        end
        if depth == 0 then
          return nil, 400, BODY
        end
        local stop
        if byte == 34 then
          stop = string_end(p, i + 1, length)
        elseif byte == 45 or byte >= 48 and byte <= 57 then
          stop = number_end(p, i) - 1
        elseif byte == 116 and p[i + 1] == 114 and p[i + 2] == 117 and p[i + 3] == 101 then
          stop = i + 3
        elseif byte == 110 and p[i + 1] == 117 and p[i + 2] == 108 and p[i + 3] == 108 then
          stop = i + 3
        elseif byte == 102 and p[i + 1] == 97 and p[i + 2] == 108 and p[i + 3] == 115 and p[i + 4] == 101 then
          stop = i + 4
        else
          return nil, 400, BODY
        end
        if stop < i then
          return nil, 400, BODY
        end
        if looked then
          local status, reason = check(top, counts, depth, byte, i, stop)
          if status then
            return nil, status, reason, i
          end
        end
        i = stop + 1
      end
      -- What comes after a value: a comma, or the end of what is open, as often as it ends.
      while true do
        i = after_blanks(p, i)
        byte = p[i]
        if byte == 44 then
          expects_name = object[depth] == 1
          i = i + 1
          break
        end
        if byte ~= (object[depth] == 1 and 125 or 93) then
          return nil, 400, BODY
        end
        if depth > 1 and place[depth] ~= CONTENT then
          local status, reason = close(top, counts, depth)
          if status then
            return nil, status, reason, i
          end
        end
        depth = depth - 1
        i = i + 1
        if depth == 0 then
          i = after_blanks(p, i)
          if i < length then
            return nil, 400, BODY
          end
          if not models[1] then
            return nil, 400, MODEL, i
          end
          top.model, top.max_tokens = models[1], tokens[1] > 0 and tokens[1] or nil
          return top
        end
      end
      ::continue::
    end
  end

  function asked.read(p, length, counts)
    local found, status, reason, at = read(p, length, counts)
    if found then
      return found
    end
    -- That a body is none comes before what it asks for.
    if reason ~= BODY and not is_utf8(p, at, length) then
      return nil, 400, BODY
    end
    return nil, status, reason
  end
end
