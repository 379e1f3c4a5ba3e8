//! Where the world comes to rest: the strongly connected components of the steps that happen also
//! where nothing goes wrong, and of those the ones that are never left again. Tarjan's algorithm
//! without recursion.

use crate::search::Free;

const UNSEEN: u32 = u32::MAX;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    pub(crate) components: usize,
    /// Those that are never left and whose states were all worked out.
    pub(crate) bottoms: usize,
    /// A state of such a one that is not as it should be.
    pub(crate) broken: Option<(u32, String)>,
}

/// Looks at every bottom component. States from `done` on were not worked out: what they lead to is
/// not known, so a component that leads there is not called a bottom.
pub(crate) fn check(
    free: &Free,
    done: usize,
    mut at_rest: impl FnMut(u32) -> Result<(), String>,
) -> Rest {
    let mut rest = Rest::default();
    let mut walk = Walk::new(free, done);
    for root in 0..done {
        let root = u32::try_from(root).unwrap_or(UNSEEN);
        walk.from(root, |component, is_bottom| {
            rest.components += 1;
            if !is_bottom {
                return;
            }
            rest.bottoms += 1;
            for state in component {
                let shorter = rest.broken.as_ref().is_none_or(|(at, _)| state < at);
                if let (true, Err(what)) = (shorter, at_rest(*state)) {
                    rest.broken = Some((*state, what));
                }
            }
        });
    }
    rest
}

struct Walk<'a> {
    free: &'a Free,
    done: usize,
    order: Vec<u32>,
    low: Vec<u32>,
    /// The state belongs to a component that is known to be left.
    leaves: Vec<bool>,
    on_stack: Vec<bool>,
    stack: Vec<u32>,
    next: u32,
}

impl<'a> Walk<'a> {
    fn new(free: &'a Free, done: usize) -> Self {
        Self {
            free,
            done,
            order: vec![UNSEEN; done],
            low: vec![0; done],
            leaves: vec![false; done],
            on_stack: vec![false; done],
            stack: Vec::new(),
            next: 0,
        }
    }

    fn successors(&self, state: u32) -> std::ops::Range<usize> {
        let at = state as usize;
        self.free.starts[at] as usize..self.free.starts[at + 1] as usize
    }

    fn enter(&mut self, state: u32) {
        let at = state as usize;
        (self.order[at], self.low[at]) = (self.next, self.next);
        self.next += 1;
        self.stack.push(state);
        self.on_stack[at] = true;
    }

    fn from(&mut self, root: u32, mut component: impl FnMut(&[u32], bool)) {
        if self.order[root as usize] != UNSEEN {
            return;
        }
        self.enter(root);
        let mut calls = vec![(root, self.successors(root))];
        while let Some((state, mut left)) = calls.pop() {
            let at = state as usize;
            let Some(edge) = left.next() else {
                self.close(state, &mut component);
                if let Some((parent, _)) = calls.last() {
                    let parent = *parent as usize;
                    self.low[parent] = self.low[parent].min(self.low[at]);
                    self.leaves[parent] |= self.leaves[at] || !self.on_stack[at];
                }
                continue;
            };
            calls.push((state, left));
            let target = self.free.targets[edge];
            let to = target as usize;
            if to >= self.done {
                self.leaves[at] = true;
            } else if self.order[to] == UNSEEN {
                self.enter(target);
                let successors = self.successors(target);
                calls.push((target, successors));
            } else if self.on_stack[to] {
                self.low[at] = self.low[at].min(self.order[to]);
            } else {
                self.leaves[at] = true;
            }
        }
    }

    /// The state is done: if it is the root of a component, that one is complete.
    fn close(&mut self, state: u32, component: &mut impl FnMut(&[u32], bool)) {
        let at = state as usize;
        if self.low[at] != self.order[at] {
            return;
        }
        let start = self
            .stack
            .iter()
            .rposition(|one| *one == state)
            .unwrap_or_default();
        let members = self.stack.split_off(start);
        let leaves = members.iter().any(|one| self.leaves[*one as usize]);
        for one in &members {
            self.on_stack[*one as usize] = false;
        }
        component(&members, !leaves);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bottoms(edges: &[&[u32]], done: usize) -> (usize, usize, Vec<u32>) {
        let mut free = Free::default();
        for targets in edges {
            free.starts
                .push(u32::try_from(free.targets.len()).unwrap_or(0));
            free.targets.extend_from_slice(targets);
        }
        free.starts
            .push(u32::try_from(free.targets.len()).unwrap_or(0));
        let mut seen = Vec::new();
        let rest = check(&free, done, |state| {
            seen.push(state);
            Ok(())
        });
        seen.sort_unstable();
        (rest.components, rest.bottoms, seen)
    }

    #[test]
    fn only_what_is_never_left_is_a_bottom() {
        // 0 → 1 ⇄ 2, 2 → 3 ⇄ 4, 0 → 5.
        let edges: [&[u32]; 6] = [&[1, 5], &[2], &[1, 3], &[4], &[3], &[]];
        assert_eq!(bottoms(&edges, 6), (4, 2, vec![3, 4, 5]));
    }

    #[test]
    fn what_leads_to_states_not_searched_is_no_bottom() {
        let edges: [&[u32]; 3] = [&[1, 2], &[3], &[2]];
        assert_eq!(bottoms(&edges, 3), (3, 1, vec![2]));
    }
}
