//! All targets by name, for whoever runs them: the tests of this folder, and the guided search.

/// Hands every module with its targets to another macro.
macro_rules! each_target {
    ($with:ident) => {
        $with! {
            codes: scanner element_string instore_code simulator_script;
            documents: document_receiptline document_json document_drawn;
            printers: printer_escpos printer_star printer_zpl raw_job;
            scales: scale_toledo8217 scale_toledo8213 scale_dialog06 scale_nci scale_sma scale_sics
                scale_cas_pos scale_cas_price scale_cas_stream scale_and scale_and_stream;
        }
    };
}
