//! Which parameter is trained how: factors on the rate and on the weight decay.

use std::fmt;
use ukulele_layers::Role;

/// The factors of one parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Group {
    /// Factor on the learning rate.
    pub rate: f64,
    /// Factor on the weight decay.
    pub decay: f64,
}

type Rule = Box<dyn Fn(&str, Role) -> Group + Send + Sync>;

/// Rules from a parameter's name and role to its factors; the factors of all rules are multiplied.
///
/// ```
/// use ukulele_training::{Group, Groups};
/// use ukulele_layers::Role;
/// let groups = Groups::new().layerwise(&[vec!["embeddings.".into()], vec!["layer.0.".into()], vec!["head.".into()]], 0.5);
/// assert_eq!(groups.of("embeddings.weight", Role::Weight), Group { rate: 0.25, decay: 1.0 });
/// assert_eq!(groups.of("head.bias", Role::Bias), Group { rate: 1.0, decay: 0.0 });
/// ```
pub struct Groups {
    rules: Vec<Rule>,
    decay_biases: bool,
}

impl Default for Groups {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Groups {{ rules: {}, decay_biases: {} }}", self.rules.len(), self.decay_biases)
    }
}

impl Groups {
    /// Equal rates for all; biases and the scales of norms ([`Role::Bias`]) do not decay, as BERT and timm train.
    pub fn new() -> Self {
        Self { rules: Vec::new(), decay_biases: false }
    }

    /// Everything decays, as torch does unless told otherwise.
    #[must_use]
    pub fn decay_all(mut self) -> Self {
        self.decay_biases = true;
        self
    }

    /// One more rule.
    #[must_use]
    pub fn with(mut self, rule: impl Fn(&str, Role) -> Group + Send + Sync + 'static) -> Self {
        self.rules.push(Box::new(rule));
        self
    }

    /// Smaller rates for lower layers: the last group has the factor 1, each one before it `factor` times that of its
    /// successor. `groups` are prefixes of names from input to output, as the models' `layer_groups()` gives them; a
    /// name in no group has the factor 1. Source: Howard and Ruder, ULMFiT, 2018.
    #[must_use]
    pub fn layerwise(self, groups: &[Vec<String>], factor: f64) -> Self {
        let groups = groups.to_vec();
        self.with(move |name, _| {
            let group = groups.iter().position(|g| g.iter().any(|prefix| name.starts_with(prefix.as_str())));
            let above = group.map_or(0, |at| groups.len() - 1 - at);
            Group { rate: (0..above).fold(1.0, |rate, _| rate * factor), decay: 1.0 }
        })
    }

    /// The factors of a parameter.
    pub fn of(&self, name: &str, role: Role) -> Group {
        let decay = if role == Role::Weight || self.decay_biases { 1.0 } else { 0.0 };
        self.rules.iter().fold(Group { rate: 1.0, decay }, |group, rule| {
            let more = rule(name, role);
            Group { rate: group.rate * more.rate, decay: group.decay * more.decay }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_multiply() {
        let groups = Groups::new()
            .decay_all()
            .with(|name, _| Group { rate: if name.starts_with("head") { 10.0 } else { 1.0 }, decay: 0.5 })
            .layerwise(&[vec!["a.".into(), "b.".into()], vec!["head.".into()]], 0.1);
        assert_eq!(groups.of("b.weight", Role::Weight), Group { rate: 0.1, decay: 0.5 });
        assert_eq!(groups.of("head.bias", Role::Bias), Group { rate: 10.0, decay: 0.5 });
        assert_eq!(groups.of("elsewhere", Role::Bias), Group { rate: 1.0, decay: 0.5 });
    }
}
