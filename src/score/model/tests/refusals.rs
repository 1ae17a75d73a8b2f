//! What is refused, in words that a person can act on.

use super::*;

/// The message of a text with one thing changed.
fn refusal(text: &str, from: &str, to: &str) -> String {
    match Model::load("m", &with(text, from, to)) {
        Ok(_) => panic!("{from:?} as {to:?} is accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn lightgbm_files_are_refused_by_line() {
    let cases = [
        ("version=v4", "version=v5", "m:2: version is \"v5\", expected v3 or v4"),
        ("version=v4\n", "", "m:9: the header has no version"),
        ("num_class=1", "num_class=3", "m:3: num_class is \"3\", expected 1: models of several"),
        (
            "=binary sigmoid:1",
            "=hinge",
            "m:7: objective is \"hinge\", expected binary, cross_entropy",
        ),
        ("sigmoid:1", "sigmoid:0", "m:7: objective is \"binary sigmoid:0\""),
        ("=binary sigmoid:1", "=regression", "m: objective \"regression\" gives no probability"),
        ("=amount country", "=amount", "m:10: feature_names has 1 entries, expected 2"),
        ("=amount country", "=amount amount", "m: feature \"amount\" is there twice"),
        ("=amount country", "=a.b a_b", "both have the reason code MODEL_A_B"),
        ("tree_sizes=300", "tree_sizes=", "m:10: no trees, expected at least one"),
        ("tree_sizes=300", "tree_sizes=300 300", "m:33: \"end of trees\", expected `Tree=1` of 2"),
        ("label_index=0", "zebra=1", "m:5: unknown line \"zebra=1\""),
        ("num_leaves=3", "num_leaves=4", "m:15: split_feature has 2 numbers, expected 3"),
        ("num_leaves=3", "num_leaves=0", "m:13: num_leaves is 0, expected 1 to"),
        (
            "leaf_value=-1 1 2",
            "leaf_value=-1 1 nan",
            "m:12: tree 0: value NaN, expected one within",
        ),
        (
            "leaf_value=-1 1 2",
            "leaf_value=-1 x 2",
            "m:21: leaf_value[1] is \"x\", expected a number",
        ),
        ("threshold=10.5 0", "threshold=nan 0", "m:12: tree 0: threshold NaN, expected a number"),
        (
            "threshold=10.5 0",
            "threshold=10.5 7",
            "threshold[1] is 7, expected the number of a set below 1",
        ),
        ("left_child=1 -1", "left_child=0 -1", "tree 0: node 0 is the child of two nodes"),
        ("left_child=1 -1", "left_child=1 -3", "is the child of two nodes, expected a tree"),
        ("left_child=1 -1", "left_child=5 -1", "left_child[0] is 5, expected -3 to 1"),
        ("left_child=1 -1", "left_child=1 -9", "left_child[1] is -9, expected -3 to 1"),
        ("left_child=1 -1", "left_child=-1 -2", "no way from the root leads to node 1"),
        ("split_feature=0 1", "split_feature=0 2", "tree 0: feature 2, expected one below 2"),
        (
            "decision_type=10 1",
            "decision_type=14 1",
            "decision_type[0] is 14, expected a known kind",
        ),
        (
            "decision_type=10 1",
            "decision_type=10 33",
            "decision_type[1] is 33, expected a known kind",
        ),
        (
            "leaf_count=10 10 20",
            "leaf_count=10 -1 20",
            "weight -1, expected a finite number from 0",
        ),
        ("cat_boundaries=0 1", "cat_boundaries=1 1", "cat_boundaries do not rise from 0"),
        ("cat_threshold=5\n", "", "m:12: tree 0: no cat_threshold"),
        (
            "is_linear=0",
            "is_linear=1",
            "m:29: is_linear is 1, expected 0: linear trees (linear_tree)",
        ),
        ("is_linear=0", "zebra=0", "m:29: unknown line \"zebra\" of a tree"),
        (
            "end of trees\n",
            "",
            "m:34: \"feature_importances:\", expected `end of trees` after 1 trees",
        ),
        (
            "[[\"DE\", \"FR\", \"NG\"]]",
            "[[\"DE\"], [\"X\"]]",
            "m: pandas_categorical has 2 columns and",
        ),
        ("\"FR\"", "\"DE\"", "m: category \"DE\" is there twice"),
        ("\"FR\"", "0.5", "m:42: category 0.5, expected a word or a whole number"),
    ];
    for (from, to, expected) in cases {
        let message = refusal(LIGHTGBM, from, to);
        assert!(
            message.contains(expected),
            "{from:?} as {to:?}: {message:?}, expected {expected:?}"
        );
    }
}

#[test]
fn xgboost_files_are_refused_by_path() {
    let model = "learner.gradient_booster.model";
    let cases = [
        (
            "\"version\":[3,2,0]",
            "\"version\":[1,7,0]",
            "m: version: [1, 7, 0], expected 2 or 3 first",
        ),
        (
            "\"gbtree\"",
            "\"gblinear\"",
            "m: learner.gradient_booster.name: \"gblinear\", expected gbtree",
        ),
        (
            "binary:logistic",
            "binary:zebra",
            "m: learner.objective.name: \"binary:zebra\", expected an obj",
        ),
        ("binary:logistic", "rank:ndcg", "m: objective \"rank:ndcg\" gives no probability"),
        (
            "[5E-1]",
            "[5E-1,2E-1]",
            "learner_model_param.base_score: \"[5E-1,2E-1]\", expected one finite",
        ),
        ("[5E-1]", "[1.5]", "base_score of binary:logistic is 1.5, expected between 0 and 1"),
        (
            "\"num_class\":\"0\"",
            "\"num_class\":\"3\"",
            "num_class: \"3\", expected 0: models of several",
        ),
        (
            "\"num_target\":\"1\"",
            "\"num_target\":\"2\"",
            "num_target: \"2\", expected 1: models of sev",
        ),
        (
            "\"num_feature\":\"2\",\"num_target",
            "\"num_feature\":\"3\",\"num_target",
            "2 entries, expected 3",
        ),
        (
            "\"num_trees\":\"1\"",
            "\"num_trees\":\"2\"",
            "model.trees: 1 trees, expected the 2 of num_trees",
        ),
        ("\"tree_info\":[0]", "\"tree_info\":[1]", "tree_info: a tree of class 1, expected 0"),
        (
            "\"size_leaf_vector\":\"1\"",
            "\"size_leaf_vector\":\"2\"",
            "leaves that are vectors are not",
        ),
        ("\"num_nodes\":\"5\"", "\"num_nodes\":\"6\"", "num_nodes: \"6\", left_children has 5"),
        (
            "\"sum_hessian\":[40,",
            "\"sum_hessian\":[",
            ".trees[0].sum_hessian: 4 entries, expected 5",
        ),
        ("[10.5,1e-45,2", "[10.5,1e-45,1e39", "m:9: number out of range"),
        ("[10.5,1e-45,2", "[10.5,1e-45,NaN", "m:9: expected value"),
        ("\"left_children\":[1,3", "\"left_children\":[1,0", "node 0 is the child of two nodes"),
        (
            "\"left_children\":[1,3",
            "\"left_children\":[1,9",
            "trees[0].left_children[1]: 9, expected 0 to 4",
        ),
        (
            "\"left_children\":[1,3",
            "\"left_children\":[2,3",
            "is the child of two nodes, expected a tree",
        ),
        (
            "\"split_indices\":[0,1",
            "\"split_indices\":[0,2",
            "node 1: feature 2, expected one below 2",
        ),
        (
            "\"split_type\":[0,1",
            "\"split_type\":[0,2",
            "trees[0].split_type[1]: 2, expected 0 or 1",
        ),
        ("\"split_type\":[0,1", "\"split_type\":[1,1", "categories_nodes: node 0 is not in it"),
        ("\"split_type\":[0,1", "\"split_type\":[0,0", "categories_nodes: node 1 is in it"),
        (
            "\"default_left\":[1",
            "\"default_left\":[2",
            "trees[0].default_left[0]: 2, expected 0 or 1",
        ),
        ("\"categories_sizes\":[2]", "\"categories_sizes\":[3]", "0 and 3 more, expected within 2"),
        (
            "\"categories_nodes\":[1]",
            "\"categories_nodes\":[7]",
            "categories_nodes[0]: 7, expected below 5",
        ),
        (
            "\"categories\":[0,2]",
            "\"categories\":[0,2000000]",
            "code 2000000, expected below 1048576",
        ),
        ("\"id\":0", "\"id\":0,\"zebra\":1", "trees[0].zebra: unknown field `zebra`"),
        (
            "\"feature_types\":[\"float\"",
            "\"feature_types\":[\"zebra\"",
            "feature_types[0]: \"zebra\"",
        ),
        (
            "\"offsets\":[0,2,4,6]",
            "\"offsets\":[0,2,4,9]",
            "enc[1]: offsets are not within the values",
        ),
    ];
    for (from, to, expected) in cases {
        let message = refusal(XGBOOST, from, to);
        assert!(
            message.contains(expected),
            "{from:?} as {to:?}: {message:?}, expected {expected:?}"
        );
    }
    let message = refusal(XGBOOST, "[68,69,70,82", "[-61,-89,70,82");
    assert!(
        message.contains("enc[1]: words that are not ASCII, which XGBoost does"),
        "{message:?}"
    );
    let message = refusal(XGBOOST, "\"trees\":[{", "\"trees\":[7,{");
    assert!(message.contains(&format!("m: {model}.trees[0]: invalid type")), "{message:?}");
}

#[test]
fn logistic_files_are_refused_by_line_or_name() {
    let cases = [
        ("version = 1", "version = 2", "m: version is 2, expected 1"),
        ("\"logistic\"", "\"probit\"", "m: model is \"probit\", expected \"logistic\""),
        ("intercept = -2.0", "intercept = nan", "m: intercept is NaN, expected a finite number"),
        (
            "weight = 0.5",
            "weight = inf",
            "m: weight of \"amount\" is inf, expected a finite number",
        ),
        ("scale = 4.0", "scale = 0.0", "m: scale of \"amount\" is 0, expected a number above 0"),
        ("weight = 0.5", "wait = 0.5", "m:7: unknown field `wait`"),
        ("missing = 4.0\n", "", "m:5: missing field `missing`"),
        ("\"night\"", "\"amount\"", "m: feature \"amount\" is there twice"),
    ];
    for (from, to, expected) in cases {
        let message = refusal(LOGISTIC, from, to);
        assert!(
            message.contains(expected),
            "{from:?} as {to:?}: {message:?}, expected {expected:?}"
        );
    }
}

#[test]
fn what_is_no_model_is_named() {
    for (text, expected) in [
        ("", "m: empty, expected LightGBM's text"),
        ("booster[0]:\n", "m: XGBoost's text dump"),
        ("{L\u{0}", "m: XGBoost's UBJSON"),
        ("{\"name\":\"tree\",", "m: LightGBM's JSON dump"),
        ("<PMML>", "m: XML, which may be PMML"),
        ("hello", "m: begins with \"hello\", expected LightGBM's text"),
        ("{\"learner\":{}}", "m: learner: missing field `gradient_booster`"),
        ("tree\nversion=v4\n", "m:2: the file ends here, expected `tree_sizes=…`"),
    ] {
        let message = Model::load("m", text).expect_err("it is no model").to_string();
        assert!(message.starts_with(expected), "{message:?}, expected {expected:?}");
    }
}

#[test]
fn too_much_is_refused_with_the_limit() {
    let deep = limits::MODEL_DEPTH_MAX + 2;
    let numbers = |of: &dyn Fn(usize) -> String, count: usize| {
        (0..count).map(of).collect::<Vec<_>>().join(" ")
    };
    // a chain: node n has leaf n and node n + 1
    let right = |at: usize| match at + 1 == deep {
        true => format!("-{}", deep + 1),
        false => (at + 1).to_string(),
    };
    let one = |_: usize| "1".to_owned();
    let tree = format!(
        "Tree=0\nnum_leaves={}\nnum_cat=0\nsplit_feature={zero}\nthreshold={ones}\n\
         decision_type={zero}\nleft_child={}\nright_child={}\nleaf_value={ones} 1\n\
         leaf_count={ones} 1\ninternal_value={ones}\ninternal_count={ones}\nshrinkage=1\n",
        deep + 1,
        numbers(&|at| format!("-{}", at + 1), deep),
        numbers(&right, deep),
        zero = numbers(&|_| "0".to_owned(), deep),
        ones = numbers(&one, deep),
    );
    let head = &LIGHTGBM[..LIGHTGBM.find("Tree=0").expect("a tree")];
    let text = format!("{head}{tree}end of trees\n");
    let message = Model::load("m", &text).expect_err("it is too deep").to_string();
    assert_eq!(message, "m:12: tree 0: deeper than 1024 steps");
    let many = with(LIGHTGBM, "max_feature_idx=1", "max_feature_idx=4096");
    let message = Model::load("m", &many).expect_err("too many features").to_string();
    assert_eq!(message, "m:6: 4097 features, expected at most 4096");
    let sizes = numbers(&one, limits::MODEL_TREES_MAX + 1);
    let many = with(LIGHTGBM, "tree_sizes=300", &format!("tree_sizes={sizes}"));
    let message = Model::load("m", &many).expect_err("too many trees").to_string();
    assert_eq!(message, "m:10: 20001 trees, expected at most 20000");
}
