-- SHA-256 (FIPS 180-4) of short strings, as lower-case hex.
-- Must not be given anything longer than a header.

local ffi = require("ffi")
local bit = require("bit")

local sha256
do
  local band, bxor, bnot = bit.band, bit.bxor, bit.bnot
  local ror, rshift, tobit = bit.ror, bit.rshift, bit.tobit

  -- Most bytes of one input: more than a header may have.
  local MOST = 65536
  local padded = ffi.new("uint8_t[?]", MOST + 128)
  local schedule = ffi.new("int32_t[64]")
  local words = ffi.new("int32_t[8]")
  local hex = ffi.new("uint8_t[64]")

  -- The first 32 bits of the fractions of the roots of the first primes, as the standard has it.
  local K, H = ffi.new("int32_t[64]"), ffi.new("int32_t[8]")
  do
    local found, candidate = 0, 2
    while found < 64 do
      local prime = true
      for divisor = 2, math.floor(math.sqrt(candidate)) do
        prime = prime and candidate % divisor ~= 0
      end
      if prime then
        K[found] = tobit(math.floor((candidate ^ (1 / 3) % 1) * 4294967296))
        if found < 8 then
          H[found] = tobit(math.floor((math.sqrt(candidate) % 1) * 4294967296))
        end
        found = found + 1
      end
      candidate = candidate + 1
    end
  end

  -- The first digits of the digest of `text`, all 64 when it is not said how many; nil when it is
  -- too long.
  function sha256(text, count)
    local length = #text
    if length > MOST then
      return nil
    end
    local total = math.floor((length + 8) / 64) * 64 + 64
    ffi.fill(padded, total)
    ffi.copy(padded, text, length)
    padded[length] = 0x80
    local bits = length * 8
    for i = 1, 4 do
      padded[total - i] = band(rshift(bits, 8 * (i - 1)), 255)
    end
    local h0, h1, h2, h3 = H[0], H[1], H[2], H[3]
    local h4, h5, h6, h7 = H[4], H[5], H[6], H[7]
    for block = 0, total - 64, 64 do
      for i = 0, 15 do
        local at = block + i * 4
        schedule[i] = tobit(padded[at] * 16777216 + padded[at + 1] * 65536 + padded[at + 2] * 256 + padded[at + 3])
      end
      for i = 16, 63 do
        local x, y = schedule[i - 15], schedule[i - 2]
        local s0 = bxor(ror(x, 7), ror(x, 18), rshift(x, 3))
        local s1 = bxor(ror(y, 17), ror(y, 19), rshift(y, 10))
        schedule[i] = tobit(schedule[i - 16] + s0 + schedule[i - 7] + s1)
      end
      local a, b, c, d, e, f, g, h = h0, h1, h2, h3, h4, h5, h6, h7
      for i = 0, 63 do
        local s1 = bxor(ror(e, 6), ror(e, 11), ror(e, 25))
        local t1 = tobit(h + s1 + bxor(band(e, f), band(bnot(e), g)) + K[i] + schedule[i])
        local s0 = bxor(ror(a, 2), ror(a, 13), ror(a, 22))
        local t2 = tobit(s0 + bxor(band(a, b), band(a, c), band(b, c)))
        h, g, f, e, d, c, b, a = g, f, e, tobit(d + t1), c, b, a, tobit(t1 + t2)
      end
      h0, h1, h2, h3 = tobit(h0 + a), tobit(h1 + b), tobit(h2 + c), tobit(h3 + d)
      h4, h5, h6, h7 = tobit(h4 + e), tobit(h5 + f), tobit(h6 + g), tobit(h7 + h)
    end
    words[0], words[1], words[2], words[3] = h0, h1, h2, h3
    words[4], words[5], words[6], words[7] = h4, h5, h6, h7
    -- One string and no more: every other one would be looked up and collected.
    count = count or 64
    for i = 0, count - 1 do
      local digit = band(rshift(words[rshift(i, 3)], 28 - 4 * band(i, 7)), 15)
      hex[i] = digit < 10 and 48 + digit or 87 + digit
    end
    return ffi.string(hex, count)
  end
end
