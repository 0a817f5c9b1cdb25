"""The boards, in the order in which a person looks at them."""

from typing import Final

from boards.newsroom import NEWSROOM
from boards.overview import OVERVIEW
from boards.parts import Board, Panel
from boards.replay import REPLAY
from boards.stages import STAGES

__all__ = ["BOARDS", "Board", "Panel"]

BOARDS: Final = (OVERVIEW, STAGES, NEWSROOM, REPLAY)
