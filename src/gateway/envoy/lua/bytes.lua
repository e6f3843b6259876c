-- The bytes of a body, in memory of our own: Envoy hands out copies only, and a large one is
-- copied in pieces that the memory of a piece before serves again.
-- Must not know what they mean.

local bytes = {}
do
  ffi.cdef("void *memmove(void *into, const void *from, size_t length);")

  -- How much is copied at a time.
  local PIECE = 65536
  -- Free in front of a body, for what is put into it.
  local ROOM = 64
  -- Memory up to this is kept for the body that comes next.
  local KEPT = 262144
  local kept = ffi.new("uint8_t[?]", KEPT)
  -- What the last body is in: a pointer into it alone would not keep it.
  local held = kept

  -- Copies what a buffer of Envoy's holds: where the first byte is, with a zero after the last one,
  -- and how many there are. They are there until the next body's, or until they are let go.
  function bytes.of(buffer)
    local length = buffer:length()
    local size = ROOM + length + 1
    held = size <= KEPT and kept or ffi.new("uint8_t[?]", size)
    local start = held + ROOM
    for at = 0, length - 1, PIECE do
      local piece = math.min(PIECE, length - at)
      ffi.copy(start + at, buffer:getBytes(at, piece), piece)
    end
    start[length] = 0
    return start, length
  end

  -- Lets a body go: the memory of a large one goes at once, and does not wait for the collector.
  function bytes.free()
    if held ~= kept then
      held = kept
      collectgarbage()
    end
  end

  -- A body with a text in place of the bytes from `first` to before `past`, as one string. The
  -- text may be longer than they were by ROOM at most.
  function bytes.replaced(start, length, first, past, text)
    local more = #text - (past - first)
    assert(more <= ROOM)
    ffi.C.memmove(start - more, start, first)
    ffi.copy(start - more + first, text, #text)
    return ffi.string(start - more, length + more)
  end
end
