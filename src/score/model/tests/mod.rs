//! Small models by hand: how values are encoded, what is refused and in which words, and that no
//! damaged file does worse than be refused. Agreement with the libraries is in `tests/models.rs`.

mod calibrations;
mod damage;
mod encoding;
mod refusals;

use super::*;

/// Two features, a tree of three leaves.
const LIGHTGBM: &str = "tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=1
objective=binary sigmoid:1
feature_names=amount country
feature_infos=[0:100] 0:1:2
tree_sizes=300

Tree=0
num_leaves=3
num_cat=1
split_feature=0 1
split_gain=2 1
threshold=10.5 0
decision_type=10 1
left_child=1 -1
right_child=-3 -2
leaf_value=-1 1 2
leaf_weight=1 1 2
leaf_count=10 10 20
internal_value=1 0
internal_weight=4 2
internal_count=40 20
cat_boundaries=0 1
cat_threshold=5
is_linear=0
shrinkage=0.1


end of trees

feature_importances:
amount=1

parameters:
[boosting: gbdt]
end of parameters

pandas_categorical:[[\"DE\", \"FR\", \"NG\"]]
";

/// The same tree; thresholds and values are 32-bit.
const XGBOOST: &str = r#"{"learner":{"attributes":{},
"feature_names":["amount","country"],"feature_types":["float","c"],
"gradient_booster":{"model":{"cats":{"enc":[{"offsets":[],"values":[]},
{"offsets":[0,2,4,6],"values":[68,69,70,82,78,71]}],"feature_segments":[0,0,3],"sorted_idx":[0,1,2]},
"gbtree_model_param":{"num_parallel_tree":"1","num_trees":"1"},"iteration_indptr":[0,1],"tree_info":[0],
"trees":[{"base_weights":[0,0,0,0,0],"categories":[0,2],"categories_nodes":[1],
"categories_segments":[0],"categories_sizes":[2],"default_left":[1,0,0,0,0],"id":0,
"left_children":[1,3,-1,-1,-1],"loss_changes":[2,1,0,0,0],"parents":[2147483647,0,0,1,1],
"right_children":[2,4,-1,-1,-1],"split_conditions":[10.5,1e-45,2,-1,1],"split_indices":[0,1,0,0,0],
"split_type":[0,1,0,0,0],"sum_hessian":[40,20,20,10,10],
"tree_param":{"num_deleted":"0","num_feature":"2","num_nodes":"5","size_leaf_vector":"1"}}]},
"name":"gbtree"},"learner_model_param":{"base_score":"[5E-1]","boost_from_average":"1",
"num_class":"0","num_feature":"2","num_target":"1"},"objective":{"name":"binary:logistic",
"reg_loss_param":{"scale_pos_weight":"1"}}},"version":[3,2,0]}"#;

const LOGISTIC: &str = "model = \"logistic\"
version = 1
intercept = -2.0

[[feature]]
name = \"amount\"
weight = 0.5
missing = 4.0
mean = 2.0
scale = 4.0

[[feature]]
name = \"night\"
weight = 1.5
missing = 0.0
";

/// The text with one thing changed, which must be there.
fn with(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from:?} is not in the model");
    text.replacen(from, to, 1)
}

fn load(text: &str) -> Model {
    Model::load("m", text).expect("the model is sound")
}
