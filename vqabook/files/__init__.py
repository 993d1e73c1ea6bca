"""Files: found, read, written whole or not at all, swept up after killed processes; where data sets and copies lie.

What the disk or its owner refuses is told in one sentence with a way out, and never as damage of the file.
"""

from vqabook.files.damage import (
    DAMAGED_ARCHIVE,
    DiskFull,
    Hindered,
    NotReadable,
    NotWritable,
    advise,
    damage_of,
    is_hindrance,
    tell_damage,
)
from vqabook.files.partial import KEPT, partial_of, sweep
from vqabook.files.places import (
    HOME,
    PROJECT,
    at_home,
    bytes_below,
    cache_folder,
    data_root,
    files_below,
    find_project,
)
from vqabook.files.room import need_space, need_writable, tell_if_full
from vqabook.files.text import portable, without_mark
from vqabook.files.whole import load_saved, move, read_or_make, read_or_set_aside, save_whole, sync, written_whole
