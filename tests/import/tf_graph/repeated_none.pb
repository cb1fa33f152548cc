
9

of/float32Const*
dtype0*
valueB
9

of/float64Const*
dtype0*
valueB
9

of/float16Const*
dtype0*
valueB
:
of/bfloat16Const*
dtype0*
valueB
6
of/int8Const*
dtype0*
valueB
7
of/uint8Const*
dtype0*
valueB
7
of/int16Const*
dtype0*
valueB
8
	of/uint16Const*
dtype0*
valueB
7
of/int32Const*
dtype0*
valueB
8
	of/uint32Const*
dtype0*
valueB
7
of/int64Const*
dtype0	*
valueB	
8
	of/uint64Const*
dtype0*
valueB
6
of/boolConst*
dtype0
*
valueB

;
of/complex64Const*
dtype0*
valueB
<
of/complex128Const*
dtype0*
valueB"