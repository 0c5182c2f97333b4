//! Products: by cuBLASLt with own kernels around it, or by the embedded product whose epilogue does
//! everything at once.

use sessile_device::{Buf, DType, DeviceErrorKind, Epilogue, Format, WeightLayout};

use super::{Address, CudaLane, Long, View, Word, Work, dtype, word};
use crate::driver::RawAddress;
use crate::geometry::padded;
use crate::kernels::{Grid, names};
use crate::products::{Ending, Product, Shape};
use crate::weight::CudaWeight;

/// Rows and columns of a block of the embedded products.
const TILE: usize = 128;
const TILE_F32: usize = 64;

/// The numbers of `linear.cu`.
fn number(epilogue: Epilogue) -> u32 {
    match epilogue {
        Epilogue::Store => 0,
        Epilogue::Gelu => 1,
        Epilogue::Relu => 2,
        Epilogue::GeluGated => 3,
        Epilogue::Residual => 4,
    }
}

/// A product with its operands looked up.
struct Call<'a> {
    x: View,
    rows: usize,
    weight: &'a CudaWeight,
    bias: Option<&'a CudaWeight>,
    epilogue: Epilogue,
    out: Buf,
    to: View,
}

impl CudaLane {
    pub(super) fn run_linear(
        &mut self,
        x: Buf,
        weight: &CudaWeight,
        bias: Option<&CudaWeight>,
        epilogue: Epilogue,
        out: Buf,
    ) {
        if self.fault.is_some() || x.rows() == 0 {
            return;
        }
        assert!(
            x.format() == Format::Operand(weight.dtype),
            "{x:?} is no operand of a weight in {}",
            weight.dtype
        );
        let gated = epilogue == Epilogue::GeluGated;
        let layout = if gated {
            WeightLayout::Gated
        } else {
            WeightLayout::Linear
        };
        assert!(weight.layout == layout, "a {:?} weight", weight.layout);
        let columns = if gated { weight.rows / 2 } else { weight.rows };
        assert!(x.cols() == weight.cols && out.rows() == x.rows() && out.cols() == columns);
        assert!(bias.is_none_or(|bias| bias.rows * bias.cols == weight.rows && !gated));
        assert!(
            out.format() == Format::F32
                || dtype(out.format()) == weight.dtype && epilogue != Epilogue::Residual,
            "a product in {} into {:?}",
            weight.dtype,
            out.format()
        );
        let call = Call {
            x: self.view(x),
            rows: x.rows(),
            weight,
            bias,
            epilogue,
            out,
            to: self.view(out),
        };
        if !self.by_library(&call) && self.fault.is_none() {
            self.by_kernel(&call);
        }
    }

    /// The embedded product.
    fn by_kernel(&mut self, call: &Call<'_>) {
        let Call { weight, .. } = *call;
        let is_f32 = weight.dtype == DType::F32;
        let tile = if is_f32 { TILE_F32 } else { TILE };
        let grid = Grid {
            blocks: call.rows.div_ceil(tile) * weight.rows.div_ceil(tile),
            blocks_y: 1,
            threads: 256,
            shared_bytes: if is_f32 { 0 } else { names::LINEAR_SHARED },
        };
        let arguments = [
            Address(call.x.address),
            Long(call.x.stride as u64),
            Address(weight.address),
            Long(weight.stride as u64),
            Address(call.bias.map_or(0, CudaWeight::values)),
            Address(call.to.address),
            Long(call.to.stride as u64),
            word(call.rows),
            word(weight.rows),
            word(weight.cols),
            Word(number(call.epilogue)),
            Word(u32::from(call.out.format() == Format::F32)),
        ];
        self.launch(names::linear(weight.dtype), grid, &arguments);
    }

    /// The product by cuBLASLt with what it can not do around it. Returns whether it was done.
    fn by_library(&mut self, call: &Call<'_>) -> bool {
        if self.products.is_none() {
            return false;
        }
        let Call { weight, bias, .. } = *call;
        let out_dtype = dtype(call.out.format());
        match call.epilogue {
            Epilogue::Store | Epilogue::Residual | Epilogue::Gelu | Epilogue::Relu => {
                let is_relu = call.epilogue == Epilogue::Relu;
                // The bias goes with the product where cuBLASLt takes it; it has no exact GELU.
                if let Some(address) = bias.and_then(|bias| fitting(bias, out_dtype)) {
                    let ending = if is_relu {
                        Ending::ReluBias
                    } else {
                        Ending::Bias
                    };
                    if self.multiply(call, call.to, out_dtype, ending, address) {
                        if call.epilogue == Epilogue::Gelu {
                            self.activate(call, None, names::activate_gelu);
                        }
                        return true;
                    }
                }
                let ending = if is_relu && bias.is_none() {
                    Ending::Relu
                } else {
                    Ending::Plain
                };
                if !self.multiply(call, call.to, out_dtype, ending, 0) {
                    return false;
                }
                match call.epilogue {
                    Epilogue::Gelu => self.activate(call, bias, names::activate_gelu),
                    Epilogue::Relu if bias.is_some() => {
                        self.activate(call, bias, names::activate_relu)
                    }
                    _ if bias.is_some() => self.activate(call, bias, names::add_bias),
                    _ => {}
                }
            }
            Epilogue::GeluGated => {
                if out_dtype != weight.dtype {
                    return false;
                }
                let stride = padded(weight.rows, weight.dtype);
                let bytes = call.rows * stride * weight.dtype.size();
                let Some(address) = self.scratch(bytes) else {
                    return true;
                };
                let pairs = View { address, stride };
                if !self.multiply(call, pairs, weight.dtype, Ending::Plain, 0) {
                    return false;
                }
                let arguments = [
                    Address(pairs.address),
                    Long(pairs.stride as u64),
                    Address(call.to.address),
                    Long(call.to.stride as u64),
                    word(call.out.cols()),
                ];
                let grid = Grid::blocks(call.rows);
                self.launch(names::gate(weight.dtype), grid, &arguments);
            }
        }
        true
    }

    /// Queues the bare product into `to`. Returns whether cuBLASLt has taken it; a fault counts.
    fn multiply(
        &mut self,
        call: &Call<'_>,
        to: View,
        out_dtype: DType,
        ending: Ending,
        bias: RawAddress,
    ) -> bool {
        let weight = call.weight;
        let alignment = |address: RawAddress, stride: usize, dtype: DType| {
            let row = (stride * dtype.size()) as u64;
            // Alignment beyond that of a buffer is chance, and must not choose an algorithm.
            1 << (address | row).trailing_zeros().min(4)
        };
        let alignments = [
            alignment(weight.address, weight.stride, weight.dtype),
            alignment(call.x.address, call.x.stride, weight.dtype),
            alignment(to.address, to.stride, out_dtype),
        ];
        let product = Product {
            shape: Shape {
                n: weight.rows,
                k: weight.cols,
                x_stride: call.x.stride,
                w_stride: weight.stride,
                out_stride: to.stride,
                dtype: weight.dtype,
                out_dtype,
                ending,
                accumulates: call.epilogue == Epilogue::Residual,
                alignments,
            },
            rows: call.rows,
            x: call.x.address,
            w: weight.address,
            bias,
            out: to.address,
        };
        let Some(products) = &mut self.products else {
            return false;
        };
        match products.takes(&product) {
            Ok(true) => {
                self.queue(Work::Product(product));
                true
            }
            Ok(false) => false,
            Err(error) => {
                if error.kind() == DeviceErrorKind::Unsupported {
                    let hint = "SESSILE_CUDA_PRODUCTS=own uses the embedded kernels";
                    self.fail(DeviceErrorKind::Unsupported, format!("{error} ({hint})"));
                } else {
                    self.note(error);
                }
                true
            }
        }
    }

    /// Bias and activation in place.
    fn activate(
        &mut self,
        call: &Call<'_>,
        bias: Option<&CudaWeight>,
        name: fn(DType) -> &'static str,
    ) {
        let arguments = [
            Address(call.to.address),
            Long(call.to.stride as u64),
            Address(bias.map_or(0, CudaWeight::values)),
            word(call.out.cols()),
        ];
        let name = name(dtype(call.out.format()));
        self.launch(name, Grid::blocks(call.rows), &arguments);
    }
}

/// A bias in the format of the output, as cuBLASLt wants it, where there is one.
fn fitting(bias: &CudaWeight, out: DType) -> Option<RawAddress> {
    match (out, bias.rounded) {
        (DType::F32, _) => Some(bias.values()),
        (out, Some((address, dtype))) if out == dtype => Some(address),
        _ => None,
    }
}
