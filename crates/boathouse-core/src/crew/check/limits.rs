//! Limits that cannot hold: money of models without a price, forms that leave no room for signals.

use crate::crew::file::View;
use crate::crew::problem::Code;
use crate::crew::{Agent, Crew, HandoffStyle};

use super::Check;
use super::agents::AgentFile;

/// Providers that cost nothing.
const FREE: [&str; 2] = ["ollama", "scripted"];
/// Where an agent's file says how much it may spend in a day.
const PRICES: [&str; 2] = ["input_token_price_per_million", "output_token_price_per_million"];

impl<'a> Check<'a> {
    /// Limits on money that is not known.
    pub(super) fn unpriced(&mut self, crew: &Crew, crew_file: View<'a>, roster: &[AgentFile<'a>]) {
        let shared = crew_file.map("settings").and_then(|settings| settings.key("max_cost_per_day"));
        for (agent, file) in crew.agents.iter().zip(roster) {
            let costs = file.view.map("cost_limits");
            let own = costs.and_then(|costs| costs.key("max_cost_per_day_usd"));
            let Some(at) = own.or(file.view.key("max_cost_per_day")).or(shared) else { continue };
            let priced = costs.is_some_and(|costs| PRICES.iter().all(|key| costs.number(key).is_some()));
            let Some(model) = unpriced(agent).filter(|_| !priced) else { continue };
            let message =
                format!("no price is known for `{model}` of `{}`, so its cost cannot be limited", agent.id);
            let hint = format!("write `cost_limits: {{{}: ..., {}: ...}}` for it", PRICES[0], PRICES[1]);
            self.problems.warn(at, Code::NoPrice, message, Some(hint));
        }
    }

    /// Replies in a form of their own that should end with a signal all the same.
    pub(super) fn forms_and_signals(&mut self, crew: &Crew, agent: &Agent, file: &AgentFile<'a>) {
        let (Some(at), Some(signal)) = (file.view.key("output_schema"), agent.signals.first()) else {
            return;
        };
        if crew.handoff == HandoffStyle::Tool {
            return;
        }
        let message =
            format!("a reply of `{}` that fits `output_schema` cannot end with `{}`", agent.id, signal.text);
        let hint = "write `handoff: tool` in `crew.yaml`, or remove one of them".to_owned();
        self.problems.error(at, Code::SchemaAndSignals, message, Some(hint));
    }
}

/// The first model of an agent that costs money.
fn unpriced(agent: &Agent) -> Option<String> {
    let model = agent.models.iter().find(|model| !FREE.contains(&model.provider.as_str()))?;
    Some(format!("{}/{}", model.provider, model.model))
}
