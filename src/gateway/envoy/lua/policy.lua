-- The policy as the files have it. A file that is absent opens nothing; one that cannot be read
-- whole leaves what was last read whole.
-- Must not decide.

local policy = {}
do
  -- What a file of this layout begins with; another layout is another release's.
  local VERSION = "1"

  -- Splits a line at its tabs.
  local function cells(line)
    local found = {}
    for cell in (line .. "\t"):gmatch("([^\t]*)\t") do
      found[#found + 1] = cell
    end
    return found
  end

  -- Model patterns, written with a blank between: exact ids, and prefixes with one trailing `*`.
  local function models(text)
    local set = { exact = {}, prefixes = {} }
    for pattern in text:gmatch("[^ ]+") do
      if pattern:sub(-1) == "*" then
        set.prefixes[#set.prefixes + 1] = pattern:sub(1, -2)
      else
        set.exact[pattern] = true
      end
    end
    return set
  end

  -- Whether a set of patterns has this model; no set at all has every one.
  function policy.allows(set, model)
    if not set or set.exact[model] then
      return true
    end
    for i = 1, #set.prefixes do
      local prefix = set.prefixes[i]
      if model:sub(1, #prefix) == prefix then
        return true
      end
    end
    return false
  end

  local row = {}

  function row.workspace(into, cell)
    into.workspace, into.enabled = cell[2], cell[3] == "Enabled"
    into.default_max_tokens = assert(tonumber(cell[4]))
    into.workspace_id, into.default_key = cell[5], cell[6]
  end

  function row.models(into, cell)
    into.models = models(cell[2])
  end

  function row.issuer(into, cell)
    local audiences = {}
    for i = 7, #cell do
      audiences[cell[i]] = true
    end
    into.issuers[cell[2]] = {
      name = cell[2],
      kubernetes = cell[3] == "Kubernetes",
      url = cell[4],
      user_claim = cell[5],
      groups_claim = cell[6],
      audiences = audiences,
    }
  end

  function row.role(into, cell)
    into.roles[cell[2]] = {
      name = cell[3],
      max_tokens = tonumber(cell[4]),
      requests_per_minute = tonumber(cell[5]),
      models = cell[6] and models(cell[6]),
    }
  end

  function row.key(into, cell)
    into.keys[cell[2]] = { ref = cell[3], organization = cell[4] == "Organization", usable = cell[5] == "usable" }
  end

  function row.blocked(into, cell)
    into.blocked[cell[2]] = true
  end

  function row.shards(into, cell)
    into.shards = assert(tonumber(cell[2]))
    for i = 3, #cell do
      into.shard_ids[i - 2] = cell[i]
    end
  end

  -- Reads `policy.tsv`; an error is raised when it is not whole.
  local function parse(text)
    local read = {
      issuers = {},
      roles = {},
      keys = {},
      blocked = {},
      shard_ids = {},
      shards = 0,
    }
    local whole = false
    for line in text:gmatch("([^\n]*)\n") do
      local cell = cells(line)
      if not read.revision then
        assert(cell[1] == "policy" and cell[2] == VERSION, "policy.tsv: not of layout " .. VERSION)
        read.revision = assert(cell[3])
      elseif cell[1] == "end" then
        whole = true
      else
        local take = assert(row[cell[1]], "policy.tsv: unknown row")
        take(read, cell)
      end
    end
    assert(whole and read.workspace, "policy.tsv: not whole")
    return read
  end

  -- Whether the file of a shard is of this layout and not cut off.
  local function is_whole(rows)
    return rows:find("^subjects\t" .. VERSION .. "\t") ~= nil and rows:sub(-5) == "\nend\n"
  end

  -- What is known now.
  local known = { generation = nil, policy = nil, shards = {}, problem = nil }

  -- The rows of a shard, once they are asked for: for whoever seldom does.
  local function later(generation)
    return setmetatable({}, {
      __index = function(shards, i)
        local rows = files.read(generation, string.format("subjects-%02d.tsv", i))
        shards[i] = rows and is_whole(rows) and rows or false
        return shards[i]
      end,
    })
  end

  -- `of_subjects` is "rows", or "heads" for what each shard says of itself, or "later".
  local function load(generation, of_subjects)
    local problem
    local text = files.read(generation, "policy.tsv")
    local present = nil
    if text then
      local ok, result = pcall(parse, text)
      present = ok and result or known.policy
      problem = not ok and (tostring(result):gsub("^%[.-%]:%d+: ", "")) or nil
    end
    local shards = {}
    if of_subjects == "later" then
      shards = later(generation)
    elseif present then
      for i = 0, present.shards - 1 do
        local name = string.format("subjects-%02d.tsv", i)
        local rows = files.read(generation, name)
        if rows and not is_whole(rows) then
          problem = problem or (name .. ": not whole")
          rows = known.shards[i]
        end
        if rows and of_subjects == "heads" then
          rows = rows:match("^[^\n]*\n")
        end
        shards[i] = rows
      end
    end
    -- What was swapped away while it was read is read again, as a whole.
    if files.generation() ~= generation then
      return false
    end
    known = { generation = generation, policy = present, shards = shards, problem = problem }
    return true
  end

  -- The present policy and what was asked for of its subjects; no policy when there is none.
  function policy.present(of_subjects)
    local generation = files.generation()
    for _ = 1, 8 do
      if generation == known.generation or load(generation, of_subjects) then
        break
      end
      generation = files.generation()
    end
    return known
  end

  -- The bytes of a key of a generation; nil when they are not there, or are none of a key.
  function policy.key(generation, id)
    local bytes = files.read(generation, id)
    return bytes and bytes:match("^(sk%-ant%-[%w%-_]+)\n?$")
  end

  ffi.cdef("int memcmp(const void *one, const void *other, size_t length);")

  -- The first 32 bits of an id of hex digits.
  local function head_of(bytes)
    local head = 0
    for i = 0, 7 do
      local byte = bytes[i]
      head = head * 16 + byte - (byte < 58 and 48 or 87)
    end
    return head
  end

  local ID, HEADS, GUESSES = 32, 4294967296, 4

  -- A subject's row in the rows of its shard: what follows its id; nil when there is none.
  -- The rows are sorted by id, 32 hex digits each. Ids are digests, so that where one must stand
  -- is guessed well; what is compared makes no strings.
  function policy.subject(present, id)
    local wanted = ffi.cast("const uint8_t *", id)
    local head, shards = head_of(wanted), present.policy.shards
    local shard = math.floor(head * shards / HEADS)
    local rows = present.shards[shard]
    if not rows then
      return nil
    end
    local bytes = ffi.cast("const uint8_t *", rows)
    local low, high = rows:find("\n", 1, true), #rows - 4
    local low_head, high_head = shard * HEADS / shards, (shard + 1) * HEADS / shards
    local probes = 0
    while high - low > ID do
      probes = probes + 1
      local share = probes <= GUESSES and low_head < high_head and (head - low_head) / (high_head - low_head) or 0.5
      local start = low + math.floor((high - low - ID) * math.max(0, math.min(1, share)))
      while start > low and bytes[start - 1] ~= 10 do
        start = start - 1
      end
      local order = ffi.C.memcmp(bytes + start, wanted, ID)
      if order > 0 then
        high, high_head = start, head_of(bytes + start)
      else
        local stop = start + ID
        while bytes[stop] ~= 10 do
          stop = stop + 1
        end
        if order == 0 then
          return rows:sub(start + ID + 2, stop)
        end
        low, low_head = stop + 1, head_of(bytes + start)
      end
    end
    return nil
  end
end
