"""The direct path: a short input goes to the model as it is, without a session.

On short inputs a plain model answers better than a recursive one (arXiv 2512.24601), in one call. Called by the runner
for root runs whose whole input is below `RLM_DIRECT_BELOW_TOKENS`.
"""

from __future__ import annotations

from runtime.inference.events import IterationStarted, StopReason
from runtime.inference.parsing import FinalText
from runtime.inference.prompts import CHARACTERS_PER_TOKEN, open_direct_transcript
from runtime.inference.question import Question
from runtime.inference.run import Conversation
from runtime.inference.turns import Answer, ask_model, repair_answer


def is_short(question: Question, below_tokens: int) -> bool:
    """Whether everything that was given, the earlier turns too, is below so many tokens; 0: never."""
    history = sum(len(turn["content"]) for turn in question.history)
    characters = question.summary.characters + len(question.text) + len(question.instructions) + history
    return characters < below_tokens * CHARACTERS_PER_TOKEN


async def answer_directly(talk: Conversation) -> Answer:
    """Raises RunError when the model gives no answer, or none in the form that was asked for."""
    transcript = open_direct_transcript(talk.question, talk.mark)
    talk.budget.take_iteration()
    talk.say(IterationStarted(**talk.stamp(), iteration=talk.budget.iterations))
    reply = await ask_model(talk, transcript)
    text = reply.final.text if isinstance(reply.final, FinalText) else reply.text
    return Answer(await repair_answer(talk, transcript, text), StopReason.FINAL)
