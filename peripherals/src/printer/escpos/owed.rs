//! Answers that a printer owes, in the order in which it was asked for them.
//!
//! The answer to `GS r` is one byte that does not say whose question it answers, so what proves a
//! job is told by order alone: each byte belongs to the oldest question that waits for one.
//! A job whose proof never came may have lost it (the printer was switched off), or the printer may
//! still hold it; so the next job begins with a question of another kind, and its answer, a block,
//! says that whatever waited before it will not come any more.
//! It never gives an answer to a younger question than its own.

use std::collections::VecDeque;

use crate::printer::raw::{self, Question};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// So many bytes that prove nothing: a till asked for them in a raw job.
    Bytes(u32),
    /// So many blocks.
    Blocks(u32),
    /// A byte that proves the job with this mark.
    Proof(u16),
}

/// What the printer owes.
#[derive(Debug, Default)]
pub(super) struct Owed {
    answers: VecDeque<Answer>,
}

impl Owed {
    pub(super) fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.answers.clear();
    }

    /// A question of our own is sent whose answer is a block.
    pub(super) fn expect_block(&mut self) {
        self.expect(Question::Block);
    }

    /// Whatever a job asks for itself.
    pub(super) fn expect_of(&mut self, body: &[u8]) {
        for question in raw::questions(body) {
            self.expect(question);
        }
    }

    /// The question behind a job is sent.
    pub(super) fn expect_proof(&mut self, mark: u16) {
        self.answers.push_back(Answer::Proof(mark));
    }

    fn expect(&mut self, question: Question) {
        match (question, self.answers.back_mut()) {
            (Question::Byte, Some(Answer::Bytes(count)))
            | (Question::Block, Some(Answer::Blocks(count))) => *count = count.saturating_add(1),
            (Question::Byte, _) => self.answers.push_back(Answer::Bytes(1)),
            (Question::Block, _) => self.answers.push_back(Answer::Blocks(1)),
        }
    }

    /// A byte came: the mark of the job that it proves, if it proves one.
    pub(super) fn take_byte(&mut self) -> Option<u16> {
        // Blocks that should have come before it are not known to this model.
        while let Some(Answer::Blocks(_)) = self.answers.front() {
            self.answers.pop_front();
        }
        match self.answers.pop_front()? {
            Answer::Proof(mark) => Some(mark),
            Answer::Bytes(count) => {
                if count > 1 {
                    self.answers.push_front(Answer::Bytes(count - 1));
                }
                None
            }
            Answer::Blocks(_) => None,
        }
    }

    /// A block came: what should have come before it was lost.
    pub(super) fn take_block(&mut self) {
        let is_block = |answer: &Answer| matches!(answer, Answer::Blocks(_));
        let Some(at) = self.answers.iter().position(is_block) else { return };
        self.answers.drain(..at);
        if let Some(Answer::Blocks(count)) = self.answers.front_mut() {
            *count -= 1;
            if *count == 0 {
                self.answers.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_belongs_to_the_oldest_question() {
        let mut owed = Owed::default();
        owed.expect_proof(1);
        owed.expect_of(b"x\x1dr\x01\x1dI\x01");
        owed.expect_proof(2);
        let proofs: Vec<_> = (0..5).map(|_| owed.take_byte()).collect();
        assert_eq!(proofs, [Some(1), None, None, Some(2), None]);
    }

    #[test]
    fn a_block_says_that_what_waited_before_it_was_lost() {
        let mut owed = Owed::default();
        owed.expect_proof(1);
        owed.expect_block();
        owed.expect_proof(2);
        owed.take_block();
        assert_eq!(owed.take_byte(), Some(2));
        assert!(owed.is_empty());
    }

    #[test]
    fn a_model_that_sends_no_block_is_told_by_its_bytes() {
        let mut owed = Owed::default();
        owed.expect_proof(1);
        owed.expect_block();
        owed.expect_proof(2);
        assert_eq!([owed.take_byte(), owed.take_byte()], [Some(1), Some(2)]);
    }

    #[test]
    fn a_block_that_nobody_asked_for_changes_nothing() {
        let mut owed = Owed::default();
        owed.expect_proof(1);
        owed.take_block();
        assert_eq!(owed.take_byte(), Some(1));
    }
}
