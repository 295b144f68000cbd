//! Parallel groups: when one is over, and what its branches give.

use crate::ids::BranchId;

use super::Run;
use super::branch::Step;

impl Run {
    /// Whether the branch belongs to a group that is closing.
    pub(super) fn is_stopping(&self, branch: BranchId) -> bool {
        let parent = self.branch(branch).and_then(|branch| branch.parent).and_then(|id| self.branch(id));
        matches!(parent.map(|parent| &parent.step), Some(Step::Group(group)) if group.closing.is_some())
    }
}
