"""The Lua scripts by which a Redis or Valkey server does in one step what has no command of its own.

Each touches the keys it is given only, so it runs on a cluster too. They need Redis 6 (SET … KEEPTTL).
"""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple


class Script(NamedTuple):
    """A script's text, and the hash by which the server knows it."""

    text: str
    sha: str


def _script(text: str) -> Script:
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


SWAP: Final = _script("""\
local raw = redis.call('GET', KEYS[1])
if not raw or redis.sha1hex(raw) ~= ARGV[1] then return 0 end
if ARGV[3] == 'delete' then redis.call('DEL', KEYS[1])
elseif ARGV[3] == 'keep' then redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
elseif ARGV[3] == 'none' then redis.call('SET', KEYS[1], ARGV[2])
else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1""")
"""Put or delete if the stored bytes still have a hash. ARGV: the hash, new bytes, `delete`, `keep`, `none` or ms."""

PERSIST: Final = _script("""\
if redis.call('PERSIST', KEYS[1]) == 1 then return 1 end
return redis.call('EXISTS', KEYS[1])""")
"""Take the expiry away; 1 if there is an entry."""

READ_TTL: Final = _script("""\
local found = {}
for i, key in ipairs(KEYS) do
  found[2 * i - 1] = redis.call('GET', key)
  found[2 * i] = redis.call('PTTL', key)
end
return found""")
"""The bytes and the milliseconds left of each key, as of one moment."""

WRITE_MANY: Final = _script("""\
local call, keys, argv = redis.call, KEYS, ARGV
local count = #keys
local one = #argv == count + 1 and argv[count + 1]
for i = 1, count do
  local ttl = one or argv[count + i]
  if ttl == '0' then call('SET', keys[i], argv[i]) else call('PSETEX', keys[i], ttl, argv[i]) end
end
return count""")
"""Put many. ARGV: the bytes of each key, then the milliseconds (0: no expiry) of each, or once for all."""

NOT_A_COUNTER: Final = "KVNOTCOUNTER"

INCREMENT: Final = _script("""\
local raw = redis.call('GET', KEYS[1])
if not raw then
  if ARGV[4] == '' then return false end
  local entry = ARGV[2] .. ARGV[4] .. ARGV[3]
  if ARGV[5] == '0' then redis.call('SET', KEYS[1], entry) else redis.call('SET', KEYS[1], entry, 'PX', ARGV[5]) end
  return ARGV[4]
end
local head, digits, tail = string.match(raw, '^(.*"value":{"value":)(-?%d+)(},"version":1})$')
if not head or string.sub(head, 1, #ARGV[6]) ~= ARGV[6] or string.sub(head, -#ARGV[7]) ~= ARGV[7] then
  return redis.error_reply('KVNOTCOUNTER')
end
redis.call('SET', KEYS[1], digits, 'KEEPTTL')
local sum = redis.pcall('INCRBY', KEYS[1], ARGV[1])
if type(sum) == 'table' and sum.err then
  redis.call('SET', KEYS[1], raw, 'KEEPTTL')
  return sum
end
sum = redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], head .. sum .. tail, 'KEEPTTL')
return sum""")
"""Add to a counter by matching its digits at the end of the entry's text and letting INCRBY do the sum.

(cjson would turn 2**53+1 into a float and `[]` into `{}`.) ARGV: the amount; head, tail and number (empty: none) of a
new entry, its milliseconds (0: no expiry); how the text begins (its collection) and how the head ends (its key).
"""
