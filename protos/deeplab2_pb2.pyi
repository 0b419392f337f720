from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Experiment(_message.Message):
    __slots__ = ("experiment_name", "model_options", "trainer_options", "train_dataset_options", "eval_dataset_options", "evaluator_options")
    EXPERIMENT_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    TRAINER_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    TRAIN_DATASET_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    EVAL_DATASET_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    EVALUATOR_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    experiment_name: str
    model_options: ModelOptions
    trainer_options: TrainerOptions
    train_dataset_options: DatasetOptions
    eval_dataset_options: DatasetOptions
    evaluator_options: EvaluatorOptions
    def __init__(self, experiment_name: _Optional[str] = ..., model_options: _Optional[_Union[ModelOptions, _Mapping]] = ..., trainer_options: _Optional[_Union[TrainerOptions, _Mapping]] = ..., train_dataset_options: _Optional[_Union[DatasetOptions, _Mapping]] = ..., eval_dataset_options: _Optional[_Union[DatasetOptions, _Mapping]] = ..., evaluator_options: _Optional[_Union[EvaluatorOptions, _Mapping]] = ...) -> None: ...

class ModelOptions(_message.Message):
    __slots__ = ("backbone", "decoder", "max_deeplab", "initial_checkpoint", "restore_semantic_last_layer_from_initial_checkpoint", "restore_instance_last_layer_from_initial_checkpoint")
    BACKBONE_FIELD_NUMBER: _ClassVar[int]
    DECODER_FIELD_NUMBER: _ClassVar[int]
    MAX_DEEPLAB_FIELD_NUMBER: _ClassVar[int]
    INITIAL_CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    RESTORE_SEMANTIC_LAST_LAYER_FROM_INITIAL_CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    RESTORE_INSTANCE_LAST_LAYER_FROM_INITIAL_CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    backbone: BackboneOptions
    decoder: DecoderOptions
    max_deeplab: MaXDeepLabOptions
    initial_checkpoint: str
    restore_semantic_last_layer_from_initial_checkpoint: bool
    restore_instance_last_layer_from_initial_checkpoint: bool
    def __init__(self, backbone: _Optional[_Union[BackboneOptions, _Mapping]] = ..., decoder: _Optional[_Union[DecoderOptions, _Mapping]] = ..., max_deeplab: _Optional[_Union[MaXDeepLabOptions, _Mapping]] = ..., initial_checkpoint: _Optional[str] = ..., restore_semantic_last_layer_from_initial_checkpoint: bool = ..., restore_instance_last_layer_from_initial_checkpoint: bool = ...) -> None: ...

class BackboneOptions(_message.Message):
    __slots__ = ("name", "output_stride", "pretrained_weights", "use_squeeze_and_excite", "drop_path_keep_prob", "drop_path_schedule", "stem_width_multiplier", "backbone_width_multiplier", "backbone_layer_multiplier", "use_sac_beyond_stride")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_STRIDE_FIELD_NUMBER: _ClassVar[int]
    PRETRAINED_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    USE_SQUEEZE_AND_EXCITE_FIELD_NUMBER: _ClassVar[int]
    DROP_PATH_KEEP_PROB_FIELD_NUMBER: _ClassVar[int]
    DROP_PATH_SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    STEM_WIDTH_MULTIPLIER_FIELD_NUMBER: _ClassVar[int]
    BACKBONE_WIDTH_MULTIPLIER_FIELD_NUMBER: _ClassVar[int]
    BACKBONE_LAYER_MULTIPLIER_FIELD_NUMBER: _ClassVar[int]
    USE_SAC_BEYOND_STRIDE_FIELD_NUMBER: _ClassVar[int]
    name: str
    output_stride: int
    pretrained_weights: str
    use_squeeze_and_excite: bool
    drop_path_keep_prob: float
    drop_path_schedule: str
    stem_width_multiplier: float
    backbone_width_multiplier: float
    backbone_layer_multiplier: float
    use_sac_beyond_stride: int
    def __init__(self, name: _Optional[str] = ..., output_stride: _Optional[int] = ..., pretrained_weights: _Optional[str] = ..., use_squeeze_and_excite: bool = ..., drop_path_keep_prob: _Optional[float] = ..., drop_path_schedule: _Optional[str] = ..., stem_width_multiplier: _Optional[float] = ..., backbone_width_multiplier: _Optional[float] = ..., backbone_layer_multiplier: _Optional[float] = ..., use_sac_beyond_stride: _Optional[int] = ...) -> None: ...

class DecoderOptions(_message.Message):
    __slots__ = ("feature_key", "decoder_channels", "aspp_channels", "atrous_rates", "decoder_conv_type", "aspp_use_only_1x1_proj_conv")
    FEATURE_KEY_FIELD_NUMBER: _ClassVar[int]
    DECODER_CHANNELS_FIELD_NUMBER: _ClassVar[int]
    ASPP_CHANNELS_FIELD_NUMBER: _ClassVar[int]
    ATROUS_RATES_FIELD_NUMBER: _ClassVar[int]
    DECODER_CONV_TYPE_FIELD_NUMBER: _ClassVar[int]
    ASPP_USE_ONLY_1X1_PROJ_CONV_FIELD_NUMBER: _ClassVar[int]
    feature_key: str
    decoder_channels: int
    aspp_channels: int
    atrous_rates: _containers.RepeatedScalarFieldContainer[int]
    decoder_conv_type: str
    aspp_use_only_1x1_proj_conv: bool
    def __init__(self, feature_key: _Optional[str] = ..., decoder_channels: _Optional[int] = ..., aspp_channels: _Optional[int] = ..., atrous_rates: _Optional[_Iterable[int]] = ..., decoder_conv_type: _Optional[str] = ..., aspp_use_only_1x1_proj_conv: bool = ...) -> None: ...

class HeadOptions(_message.Message):
    __slots__ = ("output_channels", "head_channels", "head_conv_type", "max_value_after_activation", "min_value_after_activation")
    OUTPUT_CHANNELS_FIELD_NUMBER: _ClassVar[int]
    HEAD_CHANNELS_FIELD_NUMBER: _ClassVar[int]
    HEAD_CONV_TYPE_FIELD_NUMBER: _ClassVar[int]
    MAX_VALUE_AFTER_ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    MIN_VALUE_AFTER_ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    output_channels: int
    head_channels: int
    head_conv_type: str
    max_value_after_activation: float
    min_value_after_activation: float
    def __init__(self, output_channels: _Optional[int] = ..., head_channels: _Optional[int] = ..., head_conv_type: _Optional[str] = ..., max_value_after_activation: _Optional[float] = ..., min_value_after_activation: _Optional[float] = ...) -> None: ...

class LowLevelOptions(_message.Message):
    __slots__ = ("feature_key", "channels_project")
    FEATURE_KEY_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_PROJECT_FIELD_NUMBER: _ClassVar[int]
    feature_key: str
    channels_project: int
    def __init__(self, feature_key: _Optional[str] = ..., channels_project: _Optional[int] = ...) -> None: ...

class MaXDeepLabOptions(_message.Message):
    __slots__ = ("pixel_space_head", "auxiliary_semantic_head", "auxiliary_low_level", "instance_discrimination_sample_k", "instance_discrimination_sample_temperature", "semantic_sample_k", "semantic_sample_temperature")
    PIXEL_SPACE_HEAD_FIELD_NUMBER: _ClassVar[int]
    AUXILIARY_SEMANTIC_HEAD_FIELD_NUMBER: _ClassVar[int]
    AUXILIARY_LOW_LEVEL_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_DISCRIMINATION_SAMPLE_K_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_DISCRIMINATION_SAMPLE_TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    SEMANTIC_SAMPLE_K_FIELD_NUMBER: _ClassVar[int]
    SEMANTIC_SAMPLE_TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    pixel_space_head: HeadOptions
    auxiliary_semantic_head: HeadOptions
    auxiliary_low_level: _containers.RepeatedCompositeFieldContainer[LowLevelOptions]
    instance_discrimination_sample_k: int
    instance_discrimination_sample_temperature: float
    semantic_sample_k: int
    semantic_sample_temperature: float
    def __init__(self, pixel_space_head: _Optional[_Union[HeadOptions, _Mapping]] = ..., auxiliary_semantic_head: _Optional[_Union[HeadOptions, _Mapping]] = ..., auxiliary_low_level: _Optional[_Iterable[_Union[LowLevelOptions, _Mapping]]] = ..., instance_discrimination_sample_k: _Optional[int] = ..., instance_discrimination_sample_temperature: _Optional[float] = ..., semantic_sample_k: _Optional[int] = ..., semantic_sample_temperature: _Optional[float] = ...) -> None: ...

class TrainerOptions(_message.Message):
    __slots__ = ("num_checkpoints_to_keep", "save_checkpoints_steps", "save_summaries_steps", "steps_per_loop", "loss_options", "solver_options")
    NUM_CHECKPOINTS_TO_KEEP_FIELD_NUMBER: _ClassVar[int]
    SAVE_CHECKPOINTS_STEPS_FIELD_NUMBER: _ClassVar[int]
    SAVE_SUMMARIES_STEPS_FIELD_NUMBER: _ClassVar[int]
    STEPS_PER_LOOP_FIELD_NUMBER: _ClassVar[int]
    LOSS_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    SOLVER_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    num_checkpoints_to_keep: int
    save_checkpoints_steps: int
    save_summaries_steps: int
    steps_per_loop: int
    loss_options: LossOptions
    solver_options: SolverOptions
    def __init__(self, num_checkpoints_to_keep: _Optional[int] = ..., save_checkpoints_steps: _Optional[int] = ..., save_summaries_steps: _Optional[int] = ..., steps_per_loop: _Optional[int] = ..., loss_options: _Optional[_Union[LossOptions, _Mapping]] = ..., solver_options: _Optional[_Union[SolverOptions, _Mapping]] = ...) -> None: ...

class LossOptions(_message.Message):
    __slots__ = ("semantic_loss", "pq_style_loss", "mask_id_cross_entropy_loss", "instance_discrimination_loss", "center_loss", "regression_loss", "motion_loss", "next_regression_loss", "depth_loss")
    SEMANTIC_LOSS_FIELD_NUMBER: _ClassVar[int]
    PQ_STYLE_LOSS_FIELD_NUMBER: _ClassVar[int]
    MASK_ID_CROSS_ENTROPY_LOSS_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_DISCRIMINATION_LOSS_FIELD_NUMBER: _ClassVar[int]
    CENTER_LOSS_FIELD_NUMBER: _ClassVar[int]
    REGRESSION_LOSS_FIELD_NUMBER: _ClassVar[int]
    MOTION_LOSS_FIELD_NUMBER: _ClassVar[int]
    NEXT_REGRESSION_LOSS_FIELD_NUMBER: _ClassVar[int]
    DEPTH_LOSS_FIELD_NUMBER: _ClassVar[int]
    semantic_loss: LossTerm
    pq_style_loss: LossTerm
    mask_id_cross_entropy_loss: LossTerm
    instance_discrimination_loss: LossTerm
    center_loss: LossTerm
    regression_loss: LossTerm
    motion_loss: LossTerm
    next_regression_loss: LossTerm
    depth_loss: LossTerm
    def __init__(self, semantic_loss: _Optional[_Union[LossTerm, _Mapping]] = ..., pq_style_loss: _Optional[_Union[LossTerm, _Mapping]] = ..., mask_id_cross_entropy_loss: _Optional[_Union[LossTerm, _Mapping]] = ..., instance_discrimination_loss: _Optional[_Union[LossTerm, _Mapping]] = ..., center_loss: _Optional[_Union[LossTerm, _Mapping]] = ..., regression_loss: _Optional[_Union[LossTerm, _Mapping]] = ..., motion_loss: _Optional[_Union[LossTerm, _Mapping]] = ..., next_regression_loss: _Optional[_Union[LossTerm, _Mapping]] = ..., depth_loss: _Optional[_Union[LossTerm, _Mapping]] = ...) -> None: ...

class LossTerm(_message.Message):
    __slots__ = ("name", "weight", "top_k_percent")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    TOP_K_PERCENT_FIELD_NUMBER: _ClassVar[int]
    name: str
    weight: float
    top_k_percent: float
    def __init__(self, name: _Optional[str] = ..., weight: _Optional[float] = ..., top_k_percent: _Optional[float] = ...) -> None: ...

class SolverOptions(_message.Message):
    __slots__ = ("use_sync_batchnorm", "batchnorm_momentum", "batchnorm_epsilon", "learning_policy", "base_learning_rate", "poly_learning_power", "poly_end_learning_rate", "warmup_steps", "optimizer", "weight_decay", "adamw_weight_decay", "use_gradient_clipping", "clip_gradient_norm", "training_number_of_steps", "backbone_learning_rate_multiplier")
    USE_SYNC_BATCHNORM_FIELD_NUMBER: _ClassVar[int]
    BATCHNORM_MOMENTUM_FIELD_NUMBER: _ClassVar[int]
    BATCHNORM_EPSILON_FIELD_NUMBER: _ClassVar[int]
    LEARNING_POLICY_FIELD_NUMBER: _ClassVar[int]
    BASE_LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    POLY_LEARNING_POWER_FIELD_NUMBER: _ClassVar[int]
    POLY_END_LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    WARMUP_STEPS_FIELD_NUMBER: _ClassVar[int]
    OPTIMIZER_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_DECAY_FIELD_NUMBER: _ClassVar[int]
    ADAMW_WEIGHT_DECAY_FIELD_NUMBER: _ClassVar[int]
    USE_GRADIENT_CLIPPING_FIELD_NUMBER: _ClassVar[int]
    CLIP_GRADIENT_NORM_FIELD_NUMBER: _ClassVar[int]
    TRAINING_NUMBER_OF_STEPS_FIELD_NUMBER: _ClassVar[int]
    BACKBONE_LEARNING_RATE_MULTIPLIER_FIELD_NUMBER: _ClassVar[int]
    use_sync_batchnorm: bool
    batchnorm_momentum: float
    batchnorm_epsilon: float
    learning_policy: str
    base_learning_rate: float
    poly_learning_power: float
    poly_end_learning_rate: float
    warmup_steps: int
    optimizer: str
    weight_decay: float
    adamw_weight_decay: float
    use_gradient_clipping: bool
    clip_gradient_norm: float
    training_number_of_steps: int
    backbone_learning_rate_multiplier: float
    def __init__(self, use_sync_batchnorm: bool = ..., batchnorm_momentum: _Optional[float] = ..., batchnorm_epsilon: _Optional[float] = ..., learning_policy: _Optional[str] = ..., base_learning_rate: _Optional[float] = ..., poly_learning_power: _Optional[float] = ..., poly_end_learning_rate: _Optional[float] = ..., warmup_steps: _Optional[int] = ..., optimizer: _Optional[str] = ..., weight_decay: _Optional[float] = ..., adamw_weight_decay: _Optional[float] = ..., use_gradient_clipping: bool = ..., clip_gradient_norm: _Optional[float] = ..., training_number_of_steps: _Optional[int] = ..., backbone_learning_rate_multiplier: _Optional[float] = ...) -> None: ...

class DatasetOptions(_message.Message):
    __slots__ = ("dataset", "file_pattern", "batch_size", "crop_size", "min_resize_value", "max_resize_value", "resize_factor", "augmentations", "sigma", "increase_small_instance_weights", "small_instance_threshold", "small_instance_weight", "use_two_frames", "use_next_frame", "decode_groundtruth_label", "thing_id_mask_annotations", "max_thing_id", "cameras_to_use")
    DATASET_FIELD_NUMBER: _ClassVar[int]
    FILE_PATTERN_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    CROP_SIZE_FIELD_NUMBER: _ClassVar[int]
    MIN_RESIZE_VALUE_FIELD_NUMBER: _ClassVar[int]
    MAX_RESIZE_VALUE_FIELD_NUMBER: _ClassVar[int]
    RESIZE_FACTOR_FIELD_NUMBER: _ClassVar[int]
    AUGMENTATIONS_FIELD_NUMBER: _ClassVar[int]
    SIGMA_FIELD_NUMBER: _ClassVar[int]
    INCREASE_SMALL_INSTANCE_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    SMALL_INSTANCE_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    SMALL_INSTANCE_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    USE_TWO_FRAMES_FIELD_NUMBER: _ClassVar[int]
    USE_NEXT_FRAME_FIELD_NUMBER: _ClassVar[int]
    DECODE_GROUNDTRUTH_LABEL_FIELD_NUMBER: _ClassVar[int]
    THING_ID_MASK_ANNOTATIONS_FIELD_NUMBER: _ClassVar[int]
    MAX_THING_ID_FIELD_NUMBER: _ClassVar[int]
    CAMERAS_TO_USE_FIELD_NUMBER: _ClassVar[int]
    dataset: str
    file_pattern: _containers.RepeatedScalarFieldContainer[str]
    batch_size: int
    crop_size: _containers.RepeatedScalarFieldContainer[int]
    min_resize_value: _containers.RepeatedScalarFieldContainer[int]
    max_resize_value: _containers.RepeatedScalarFieldContainer[int]
    resize_factor: int
    augmentations: AugmentationOptions
    sigma: float
    increase_small_instance_weights: bool
    small_instance_threshold: int
    small_instance_weight: float
    use_two_frames: bool
    use_next_frame: bool
    decode_groundtruth_label: bool
    thing_id_mask_annotations: bool
    max_thing_id: int
    cameras_to_use: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, dataset: _Optional[str] = ..., file_pattern: _Optional[_Iterable[str]] = ..., batch_size: _Optional[int] = ..., crop_size: _Optional[_Iterable[int]] = ..., min_resize_value: _Optional[_Iterable[int]] = ..., max_resize_value: _Optional[_Iterable[int]] = ..., resize_factor: _Optional[int] = ..., augmentations: _Optional[_Union[AugmentationOptions, _Mapping]] = ..., sigma: _Optional[float] = ..., increase_small_instance_weights: bool = ..., small_instance_threshold: _Optional[int] = ..., small_instance_weight: _Optional[float] = ..., use_two_frames: bool = ..., use_next_frame: bool = ..., decode_groundtruth_label: bool = ..., thing_id_mask_annotations: bool = ..., max_thing_id: _Optional[int] = ..., cameras_to_use: _Optional[_Iterable[str]] = ...) -> None: ...

class AugmentationOptions(_message.Message):
    __slots__ = ("min_scale_factor", "max_scale_factor", "scale_factor_step_size", "autoaugment_policy_name", "panoptic_copy_paste")
    MIN_SCALE_FACTOR_FIELD_NUMBER: _ClassVar[int]
    MAX_SCALE_FACTOR_FIELD_NUMBER: _ClassVar[int]
    SCALE_FACTOR_STEP_SIZE_FIELD_NUMBER: _ClassVar[int]
    AUTOAUGMENT_POLICY_NAME_FIELD_NUMBER: _ClassVar[int]
    PANOPTIC_COPY_PASTE_FIELD_NUMBER: _ClassVar[int]
    min_scale_factor: float
    max_scale_factor: float
    scale_factor_step_size: float
    autoaugment_policy_name: str
    panoptic_copy_paste: CopyPasteOptions
    def __init__(self, min_scale_factor: _Optional[float] = ..., max_scale_factor: _Optional[float] = ..., scale_factor_step_size: _Optional[float] = ..., autoaugment_policy_name: _Optional[str] = ..., panoptic_copy_paste: _Optional[_Union[CopyPasteOptions, _Mapping]] = ...) -> None: ...

class CopyPasteOptions(_message.Message):
    __slots__ = ("panoptic_copy_paste_scale", "panoptic_copy_paste_thing_option", "panoptic_copy_paste_stuff_option", "panoptic_copy_paste_void_option")
    PANOPTIC_COPY_PASTE_SCALE_FIELD_NUMBER: _ClassVar[int]
    PANOPTIC_COPY_PASTE_THING_OPTION_FIELD_NUMBER: _ClassVar[int]
    PANOPTIC_COPY_PASTE_STUFF_OPTION_FIELD_NUMBER: _ClassVar[int]
    PANOPTIC_COPY_PASTE_VOID_OPTION_FIELD_NUMBER: _ClassVar[int]
    panoptic_copy_paste_scale: float
    panoptic_copy_paste_thing_option: str
    panoptic_copy_paste_stuff_option: str
    panoptic_copy_paste_void_option: str
    def __init__(self, panoptic_copy_paste_scale: _Optional[float] = ..., panoptic_copy_paste_thing_option: _Optional[str] = ..., panoptic_copy_paste_stuff_option: _Optional[str] = ..., panoptic_copy_paste_void_option: _Optional[str] = ...) -> None: ...

class EvaluatorOptions(_message.Message):
    __slots__ = ("eval_steps", "eval_interval", "continuous_eval_timeout", "use_tf_function", "stuff_area_limit", "thing_area_limit", "pixel_confidence_threshold", "transformer_class_confidence_threshold", "transformer_post_processing", "maskwise_postprocessing", "center_score_threshold", "nms_kernel", "keep_k_centers", "add_flipped_images", "eval_scales", "merge_semantic_and_instance_with_tf_op", "save_predictions", "num_vis_samples", "override_save_dir", "save_raw_predictions", "raw_panoptic_format", "convert_raw_to_eval_ids", "detailed_ap_metrics")
    EVAL_STEPS_FIELD_NUMBER: _ClassVar[int]
    EVAL_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    CONTINUOUS_EVAL_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    USE_TF_FUNCTION_FIELD_NUMBER: _ClassVar[int]
    STUFF_AREA_LIMIT_FIELD_NUMBER: _ClassVar[int]
    THING_AREA_LIMIT_FIELD_NUMBER: _ClassVar[int]
    PIXEL_CONFIDENCE_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    TRANSFORMER_CLASS_CONFIDENCE_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    TRANSFORMER_POST_PROCESSING_FIELD_NUMBER: _ClassVar[int]
    MASKWISE_POSTPROCESSING_FIELD_NUMBER: _ClassVar[int]
    CENTER_SCORE_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    NMS_KERNEL_FIELD_NUMBER: _ClassVar[int]
    KEEP_K_CENTERS_FIELD_NUMBER: _ClassVar[int]
    ADD_FLIPPED_IMAGES_FIELD_NUMBER: _ClassVar[int]
    EVAL_SCALES_FIELD_NUMBER: _ClassVar[int]
    MERGE_SEMANTIC_AND_INSTANCE_WITH_TF_OP_FIELD_NUMBER: _ClassVar[int]
    SAVE_PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    NUM_VIS_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    OVERRIDE_SAVE_DIR_FIELD_NUMBER: _ClassVar[int]
    SAVE_RAW_PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    RAW_PANOPTIC_FORMAT_FIELD_NUMBER: _ClassVar[int]
    CONVERT_RAW_TO_EVAL_IDS_FIELD_NUMBER: _ClassVar[int]
    DETAILED_AP_METRICS_FIELD_NUMBER: _ClassVar[int]
    eval_steps: int
    eval_interval: int
    continuous_eval_timeout: int
    use_tf_function: bool
    stuff_area_limit: int
    thing_area_limit: int
    pixel_confidence_threshold: float
    transformer_class_confidence_threshold: float
    transformer_post_processing: str
    maskwise_postprocessing: MaskwiseOptions
    center_score_threshold: float
    nms_kernel: int
    keep_k_centers: int
    add_flipped_images: bool
    eval_scales: _containers.RepeatedScalarFieldContainer[float]
    merge_semantic_and_instance_with_tf_op: bool
    save_predictions: bool
    num_vis_samples: int
    override_save_dir: str
    save_raw_predictions: bool
    raw_panoptic_format: str
    convert_raw_to_eval_ids: bool
    detailed_ap_metrics: bool
    def __init__(self, eval_steps: _Optional[int] = ..., eval_interval: _Optional[int] = ..., continuous_eval_timeout: _Optional[int] = ..., use_tf_function: bool = ..., stuff_area_limit: _Optional[int] = ..., thing_area_limit: _Optional[int] = ..., pixel_confidence_threshold: _Optional[float] = ..., transformer_class_confidence_threshold: _Optional[float] = ..., transformer_post_processing: _Optional[str] = ..., maskwise_postprocessing: _Optional[_Union[MaskwiseOptions, _Mapping]] = ..., center_score_threshold: _Optional[float] = ..., nms_kernel: _Optional[int] = ..., keep_k_centers: _Optional[int] = ..., add_flipped_images: bool = ..., eval_scales: _Optional[_Iterable[float]] = ..., merge_semantic_and_instance_with_tf_op: bool = ..., save_predictions: bool = ..., num_vis_samples: _Optional[int] = ..., override_save_dir: _Optional[str] = ..., save_raw_predictions: bool = ..., raw_panoptic_format: _Optional[str] = ..., convert_raw_to_eval_ids: bool = ..., detailed_ap_metrics: bool = ...) -> None: ...

class MaskwiseOptions(_message.Message):
    __slots__ = ("transformer_class_confidence_threshold_thing", "transformer_class_confidence_threshold_stuff", "overlapping_threshold", "reorder_class_weight", "reorder_mask_weight")
    TRANSFORMER_CLASS_CONFIDENCE_THRESHOLD_THING_FIELD_NUMBER: _ClassVar[int]
    TRANSFORMER_CLASS_CONFIDENCE_THRESHOLD_STUFF_FIELD_NUMBER: _ClassVar[int]
    OVERLAPPING_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    REORDER_CLASS_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    REORDER_MASK_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    transformer_class_confidence_threshold_thing: float
    transformer_class_confidence_threshold_stuff: float
    overlapping_threshold: float
    reorder_class_weight: float
    reorder_mask_weight: float
    def __init__(self, transformer_class_confidence_threshold_thing: _Optional[float] = ..., transformer_class_confidence_threshold_stuff: _Optional[float] = ..., overlapping_threshold: _Optional[float] = ..., reorder_class_weight: _Optional[float] = ..., reorder_mask_weight: _Optional[float] = ...) -> None: ...
