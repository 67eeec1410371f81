"""What a Redis server holds beyond plain values, and what clients have it do that no key shows: for stores and brokers alike."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["CONTENT", "LOOK", "NOT_SHOWN", "PUBLISHED", "calls_of", "groups_of"]

#: Lua: what a key holds, as its type has it; serialised where no command shows it. And, of a stream: of each group its name, up to where
#: it has read, and what is pending there: {id, consumer, idle, deliveries}.
CONTENT = """
local function content_of(key, kind)
  if kind == 'string' then return redis.call('GET', key)
  elseif kind == 'list' then return redis.call('LRANGE', key, 0, -1)
  elseif kind == 'set' then return redis.call('SMEMBERS', key)
  elseif kind == 'hash' then return redis.call('HGETALL', key)
  elseif kind == 'zset' then return redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  elseif kind == 'stream' then return redis.call('XRANGE', key, '-', '+') end
  return redis.call('DUMP', key)
end
local function groups_of(key, kind)
  local found = {}
  if kind == 'stream' then
    for _, told in ipairs(redis.call('XINFO', 'GROUPS', key)) do
      local group = {}
      for n = 1, #told, 2 do group[told[n]] = told[n + 1] end
      local pending = redis.call('XPENDING', key, group['name'], '-', '+', 1000000)
      found[#found + 1] = {group['name'], group['last-delivered-id'], pending}
    end
  end
  return found
end
"""
#: Lua: all keys of all databases at one moment: {database, rows of {key, type, milliseconds to live or -1, content, serialised, groups}}.
LOOK = f"""{CONTENT}
local all = {{}}
for db in string.gmatch(redis.call('INFO', 'keyspace'), 'db(%d+):') do
  redis.call('SELECT', db)
  local rows = {{}}
  for _, key in ipairs(redis.call('KEYS', '*')) do
    local kind = redis.call('TYPE', key).ok
    if kind ~= 'none' then
      local value, content = content_of(key, kind), redis.call('DUMP', key)
      rows[#rows + 1] = {{key, kind, redis.call('PTTL', key), value, content, groups_of(key, kind)}}
    end
  end
  all[#all + 1] = {{tonumber(db), rows}}
end
return all
"""
PUBLISHED = "what is published (PUBLISH)"
#: Command -> what of it no key shows, or what does not hold when a world is set back.
NOT_SHOWN: Mapping[str, str] = {
    **dict.fromkeys(("publish", "spublish"), PUBLISHED),
    **dict.fromkeys(("xclaim", "xautoclaim"), "how long an entry of a stream has been pending (XCLAIM)"),
    **dict.fromkeys(
        ("hexpire", "hpexpire", "hexpireat", "hpexpireat", "hsetex", "hgetex"),
        "fields of hashes that expire (HEXPIRE)",
    ),
    **dict.fromkeys(("object|idletime", "object|freq"), "how long a key was not used (OBJECT)"),
    **dict.fromkeys(
        ("config|set", "acl|setuser", "acl|deluser", "function|load", "function|delete", "function|flush", "function|restore"),
        "what the server is told of itself (CONFIG, ACL, FUNCTION), which is not set back",
    ),
}
#: Deliveries of an entry from this number on are alike: each crash of whoever reads what is pending for it makes one more.
_MOST_DELIVERIES = 3


def calls_of(stats: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """`NOT_SHOWN` in words -> how often, from INFO commandstats."""
    found: dict[str, int] = {}
    for command, words in NOT_SHOWN.items():
        if (counted := stats.get(f"cmdstat_{command}")) is not None:
            found[words] = found.get(words, 0) + int(counted["calls"])
    return found


def groups_of(told: Sequence[Sequence[Any]], ids: Sequence[bytes]) -> list[tuple[bytes, int, list[tuple[int, bytes, int]]]]:
    """As `CONTENT` tells them, in the order of their names: name, entries read, and pending (entry, consumer, deliveries).

    Ids are the time of day: an entry is told by how many there are up to it. ``ids``: of all that the stream has.
    """
    places = [_number(one) for one in ids]

    def up_to(one: bytes) -> int:
        return sum(place <= _number(one) for place in places)

    return sorted(
        (
            bytes(name),
            up_to(last),
            [(up_to(one), bytes(consumer), min(int(count), _MOST_DELIVERIES)) for one, consumer, _, count in pending],
        )
        for name, last, pending in told
    )


def _number(one: bytes) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(rb"\d+", one))
