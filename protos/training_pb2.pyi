from protos import losses_pb2 as _losses_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TrainerOptions(_message.Message):
    __slots__ = ("num_checkpoints_to_keep", "save_checkpoints_steps", "save_summaries_steps", "steps_per_loop", "loss_options", "solver_options", "seed", "precision", "use_xla", "recompute", "accumulation_steps", "ema_decay", "stall_timeout", "max_total_loss")
    class Precision(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        FLOAT32: _ClassVar[TrainerOptions.Precision]
        BFLOAT16: _ClassVar[TrainerOptions.Precision]
        FLOAT16: _ClassVar[TrainerOptions.Precision]
    FLOAT32: TrainerOptions.Precision
    BFLOAT16: TrainerOptions.Precision
    FLOAT16: TrainerOptions.Precision
    NUM_CHECKPOINTS_TO_KEEP_FIELD_NUMBER: _ClassVar[int]
    SAVE_CHECKPOINTS_STEPS_FIELD_NUMBER: _ClassVar[int]
    SAVE_SUMMARIES_STEPS_FIELD_NUMBER: _ClassVar[int]
    STEPS_PER_LOOP_FIELD_NUMBER: _ClassVar[int]
    LOSS_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    SOLVER_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    USE_XLA_FIELD_NUMBER: _ClassVar[int]
    RECOMPUTE_FIELD_NUMBER: _ClassVar[int]
    ACCUMULATION_STEPS_FIELD_NUMBER: _ClassVar[int]
    EMA_DECAY_FIELD_NUMBER: _ClassVar[int]
    STALL_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    MAX_TOTAL_LOSS_FIELD_NUMBER: _ClassVar[int]
    num_checkpoints_to_keep: int
    save_checkpoints_steps: int
    save_summaries_steps: int
    steps_per_loop: int
    loss_options: _losses_pb2.LossOptions
    solver_options: SolverOptions
    seed: int
    precision: TrainerOptions.Precision
    use_xla: bool
    recompute: bool
    accumulation_steps: int
    ema_decay: float
    stall_timeout: int
    max_total_loss: float
    def __init__(self, num_checkpoints_to_keep: _Optional[int] = ..., save_checkpoints_steps: _Optional[int] = ..., save_summaries_steps: _Optional[int] = ..., steps_per_loop: _Optional[int] = ..., loss_options: _Optional[_Union[_losses_pb2.LossOptions, _Mapping]] = ..., solver_options: _Optional[_Union[SolverOptions, _Mapping]] = ..., seed: _Optional[int] = ..., precision: _Optional[_Union[TrainerOptions.Precision, str]] = ..., use_xla: bool = ..., recompute: bool = ..., accumulation_steps: _Optional[int] = ..., ema_decay: _Optional[float] = ..., stall_timeout: _Optional[int] = ..., max_total_loss: _Optional[float] = ...) -> None: ...

class SolverOptions(_message.Message):
    __slots__ = ("use_sync_batchnorm", "batchnorm_momentum", "batchnorm_epsilon", "learning_policy", "base_learning_rate", "poly_learning_power", "poly_end_learning_rate", "warmup_steps", "optimizer", "adamw_weight_decay", "use_gradient_clipping", "clip_gradient_norm", "training_number_of_steps", "backbone_learning_rate_multiplier", "reference_batch_size")
    class LearningPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        POLY: _ClassVar[SolverOptions.LearningPolicy]
        COSINE: _ClassVar[SolverOptions.LearningPolicy]
    POLY: SolverOptions.LearningPolicy
    COSINE: SolverOptions.LearningPolicy
    class Optimizer(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ADAM: _ClassVar[SolverOptions.Optimizer]
        ADAMW: _ClassVar[SolverOptions.Optimizer]
        SGD: _ClassVar[SolverOptions.Optimizer]
        LAMB: _ClassVar[SolverOptions.Optimizer]
    ADAM: SolverOptions.Optimizer
    ADAMW: SolverOptions.Optimizer
    SGD: SolverOptions.Optimizer
    LAMB: SolverOptions.Optimizer
    USE_SYNC_BATCHNORM_FIELD_NUMBER: _ClassVar[int]
    BATCHNORM_MOMENTUM_FIELD_NUMBER: _ClassVar[int]
    BATCHNORM_EPSILON_FIELD_NUMBER: _ClassVar[int]
    LEARNING_POLICY_FIELD_NUMBER: _ClassVar[int]
    BASE_LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    POLY_LEARNING_POWER_FIELD_NUMBER: _ClassVar[int]
    POLY_END_LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    WARMUP_STEPS_FIELD_NUMBER: _ClassVar[int]
    OPTIMIZER_FIELD_NUMBER: _ClassVar[int]
    ADAMW_WEIGHT_DECAY_FIELD_NUMBER: _ClassVar[int]
    USE_GRADIENT_CLIPPING_FIELD_NUMBER: _ClassVar[int]
    CLIP_GRADIENT_NORM_FIELD_NUMBER: _ClassVar[int]
    TRAINING_NUMBER_OF_STEPS_FIELD_NUMBER: _ClassVar[int]
    BACKBONE_LEARNING_RATE_MULTIPLIER_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    use_sync_batchnorm: bool
    batchnorm_momentum: float
    batchnorm_epsilon: float
    learning_policy: SolverOptions.LearningPolicy
    base_learning_rate: float
    poly_learning_power: float
    poly_end_learning_rate: float
    warmup_steps: int
    optimizer: SolverOptions.Optimizer
    adamw_weight_decay: float
    use_gradient_clipping: bool
    clip_gradient_norm: float
    training_number_of_steps: int
    backbone_learning_rate_multiplier: float
    reference_batch_size: int
    def __init__(self, use_sync_batchnorm: bool = ..., batchnorm_momentum: _Optional[float] = ..., batchnorm_epsilon: _Optional[float] = ..., learning_policy: _Optional[_Union[SolverOptions.LearningPolicy, str]] = ..., base_learning_rate: _Optional[float] = ..., poly_learning_power: _Optional[float] = ..., poly_end_learning_rate: _Optional[float] = ..., warmup_steps: _Optional[int] = ..., optimizer: _Optional[_Union[SolverOptions.Optimizer, str]] = ..., adamw_weight_decay: _Optional[float] = ..., use_gradient_clipping: bool = ..., clip_gradient_norm: _Optional[float] = ..., training_number_of_steps: _Optional[int] = ..., backbone_learning_rate_multiplier: _Optional[float] = ..., reference_batch_size: _Optional[int] = ...) -> None: ...
