-- The mounted files, always of one generation: the kubelet puts all of them into a new directory
-- and then swaps the link `..data` to it. One readlink(2) a request tells whether it did.
-- Must not know what is in a file.

local files = {}
do
  local io = require("io")
  local link = ffi.new("char[256]")
  ffi.cdef("long readlink(const char *path, char *into, size_t size);")

  -- Where the projected volume is mounted.
  local MOUNT = "/etc/anthropic-rbac/gateway/"

  -- The present generation's directory, relative to the mount. A folder without the link, as
  -- on somebody's desk, is one generation for ever.
  function files.generation()
    local length = tonumber(ffi.C.readlink(MOUNT .. "..data", link, 255))
    if length <= 0 then
      return "."
    end
    return ffi.string(link, length)
  end

  -- The content of a file of a generation; nil when it is not there.
  function files.read(generation, name)
    local file = io.open(MOUNT .. generation .. "/" .. name, "rb")
    if not file then
      return nil
    end
    local text = file:read("*a")
    file:close()
    return text
  end
end
